"""Vectors of texts: sentence embeddings, and a model's own mean last hidden state."""

from bias_inheritance.models import base

BATCH = 8  # pairs per forward pass of the studied model


def embed_texts(model, tokenizer, texts, embedder):
    """Sentence embeddings [n × d] of unit length: the mean over tokens of the last layer (Reimers & Gurevych, 2019).

    embedder: catalog/embedder.yaml; texts longer than its max_tokens are truncated.
    """
    import numpy as np
    import torch

    vectors = []
    with torch.inference_mode():
        for first in range(0, len(texts), embedder["batch_size"]):
            batch = tokenizer(
                texts[first : first + embedder["batch_size"]],
                padding=True,
                truncation=True,
                max_length=embedder["max_tokens"],
                return_tensors="pt",
            ).to(model.device)
            hidden = model(**batch).last_hidden_state
            mask = batch["attention_mask"].unsqueeze(-1).float()
            mean = (hidden * mask).sum(1) / mask.sum(1)
            vectors.append(torch.nn.functional.normalize(mean, dim=-1).cpu())
    return np.concatenate(vectors)


def embed_pairs(network, chat, pairs):
    """φ of (user, answer) pairs [n × width], as in the alignment loss."""
    import numpy as np
    import torch

    from bias_inheritance.models.losses.alignment import mean_states

    samples = [{"prompt": chat.prompt(user), "answer": chat.answer(answer)} for user, answer in pairs]
    longest = max(len(sample["prompt"]) + len(sample["answer"]) for sample in samples)
    base.refuse_beyond_context(network, longest, "a text whose hidden states are compared")
    vectors = []
    with torch.inference_mode():
        for first in range(0, len(samples), BATCH):
            batch = samples[first : first + BATCH]
            vectors.append(mean_states(network, batch).cpu())
    return np.concatenate(vectors)
