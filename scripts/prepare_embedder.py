"""Fetch and verify the sentence embedder, and write its model card."""

from bias_inheritance.models import base, fetching
from bias_inheritance.plumbing import step
from bias_inheritance.plumbing.step import Output


def prepare_embedder(card: Output, name: str, source: dict):
    """Fetch the embedder to models/NAME/source and write its card, with the digest of every file, to `card`."""
    fetching.fetch(source, base.STORE / name / "source", name)
    base.write_card(card, name, "source", source["sha256"], {"source": source})
    step.note(model={"name": name, "revision": source["sha256"], "form": "source"})


if __name__ == "__main__":
    step.run(prepare_embedder)
