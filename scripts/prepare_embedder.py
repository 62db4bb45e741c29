"""Fetch the sentence embedder, verify it, and describe it on a card."""

from bias_inheritance.models import base, fetching
from bias_inheritance.plumbing import step
from bias_inheritance.plumbing.step import Output


def prepare_embedder(card: Output, name: str, source: dict):
    """Leave the embedder in models/NAME/source and its card, the digest of every file, at `card`."""
    fetching.fetch(source, base.STORE / name / "source", name)
    base.write_card(card, name, "source", source["sha256"], {"source": source})
    step.note(model={"name": name, "revision": source["sha256"], "form": "source"})


if __name__ == "__main__":
    step.run(prepare_embedder)
