"""Fetch the sentence embedder, verify it, and describe it on a card."""

from bias_inheritance import fetching, models, step
from bias_inheritance.step import Output


def prepare_embedder(card: Output, name: str, source: dict):
    """Leave the embedder in models/NAME/source and its card, the digest of every file, at `card`."""
    fetching.fetch(source, models.STORE / name / "source", name)
    models.write_card(card, name, "source", source["sha256"], {"source": source})
    step.note(model={"name": name, "revision": source["sha256"], "form": "source"})


if __name__ == "__main__":
    step.run(prepare_embedder)
