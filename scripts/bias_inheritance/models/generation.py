"""Sampling text in batches: each record has its own random stream, finished rows leave the batch.

A batch always contains the same records in the same order, so a record's text depends only on its batch's key, not on
the number of batches (bf16 logits change with the batch's padding).
"""

from bias_inheritance.models import network


def sample(model, chat, prompts, seeds, *, max_new_tokens, temperature=1.0, top_k=50, top_p=1.0, on_token=None):
    """Sample one continuation per prompt.

    chat: the model's Chat; prompts: list of B lists of token ids; seeds: B integers; temperature 0 is greedy.
    Returns B dicts {text, tokens (number sampled, including the end token), finished (ended with an end token)}.
    """
    written, finished = continuations(
        model,
        prompts,
        seeds,
        pad=chat.tokenizer.pad_token_id,
        ends=end_tokens(model, chat),
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        on_token=on_token,
    )
    return [
        {
            "text": chat.tokenizer.decode(tokens[:-1] if done else tokens, skip_special_tokens=True).strip(),
            "tokens": len(tokens),
            "finished": done,
        }
        for tokens, done in zip(written, finished, strict=True)
    ]


def continuations(
    model, prompts, seeds, *, pad, ends, max_new_tokens, temperature=1.0, top_k=50, top_p=1.0, on_token=None
):
    """The tokens of `sample`: B lists of ids, each up to and including the first of `ends`, and whether it has one.

    pad: any token id; pads short prompts and is masked.
    """
    import numpy as np
    import torch

    body, device = network.body(model), model.device
    # float32 as for scores: samples follow the model's distribution, and argmax has no ties from rounding
    head = network.float32_head(model)
    streams = [np.random.default_rng(seed) for seed in seeds]
    # the prompts of a pool repeat, once per text of a label and group: each is computed once
    distinct = list(dict.fromkeys(map(tuple, prompts)))
    prompt_of = torch.tensor([distinct.index(tuple(prompt)) for prompt in prompts], device=device)
    width = max(map(len, prompts))
    ids = torch.full((len(distinct), width), pad, device=device)
    mask = torch.zeros((len(distinct), width + max_new_tokens), dtype=torch.bool, device=device)
    for row, prompt in enumerate(distinct):
        ids[row, width - len(prompt) :] = torch.tensor(prompt, device=device)
        mask[row, width - len(prompt) : width] = True
    positions = mask[:, :width].long().cumsum(-1).sub(1).clamp(min=0)
    rows = list(range(len(prompts)))
    written = [[] for _ in prompts]
    finished = [False] * len(prompts)
    with torch.inference_mode():
        cache = network.new_cache(model)
        state = body(
            input_ids=ids,
            attention_mask=mask[:, :width].long(),
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
        )
        cache.batch_select_indices(prompt_of)
        hidden, position = state.last_hidden_state[prompt_of, -1], positions[prompt_of, -1]
        mask = mask[prompt_of]
        for step in range(max_new_tokens):
            tokens = draw(head(hidden), [streams[row] for row in rows], temperature, top_k, top_p)
            for row, token in zip(rows, tokens, strict=True):
                written[row].append(token)
                finished[row] = token in ends
            if on_token:
                on_token(len(rows))
            kept = _compacted([not finished[row] for row in rows])
            if not kept or step == max_new_tokens - 1:
                break
            if len(kept) < len(rows):
                index = torch.tensor(kept, device=device)
                cache.batch_select_indices(index)
                mask, position = mask[index], position[index]
                tokens, rows = [tokens[i] for i in kept], [rows[i] for i in kept]
            mask[:, width + step] = True
            position = position + 1
            state = body(
                input_ids=torch.tensor(tokens, device=device).unsqueeze(1),
                attention_mask=mask[:, : width + step + 1].long(),
                position_ids=position.unsqueeze(1),
                past_key_values=cache,
                use_cache=True,
            )
            hidden = state.last_hidden_state[:, -1]
    return written, finished


def _compacted(alive):
    """Indices of the rows that are alive, with the last of them in the places of those that are not: few rows move."""
    count = sum(alive)
    last = (index for index in reversed(range(count, len(alive))) if alive[index])
    return [index if alive[index] else next(last) for index in range(count)]


def end_tokens(model, chat):
    """Ids that end an answer: of the chat template, the tokenizer and the model's generation settings."""
    configured = model.generation_config.eos_token_id
    return {chat.end, chat.tokenizer.eos_token_id, *(configured if isinstance(configured, list) else [configured])}


def draw(logits, streams, temperature, top_k, top_p):
    """One token id per row of `logits` (B × V, float), from each row's own stream: top-k, then top-p, then inverse CDF."""
    import torch

    if temperature == 0:
        return logits.argmax(-1).tolist()
    top_k = min(top_k, logits.shape[-1])
    values, candidates = logits.topk(top_k, dim=-1)
    probabilities = torch.softmax(values / temperature, -1)
    cumulative = probabilities.cumsum(-1)
    probabilities[cumulative - probabilities >= top_p] = 0
    cumulative = probabilities.cumsum(-1)
    uniform = (
        torch.tensor([stream.random() for stream in streams], device=logits.device).unsqueeze(1) * cumulative[:, -1:]
    )
    chosen = (cumulative <= uniform).sum(-1, keepdim=True).clamp(max=top_k - 1)
    return candidates.gather(1, chosen).squeeze(1).tolist()
