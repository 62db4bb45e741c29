"""Fetch a model, verify it, round its base to NF4 once, and describe the result on a card."""

from bias_inheritance.models import base, fetching, shortcuts
from bias_inheritance.models.served import address
from bias_inheritance.plumbing import files, step
from bias_inheritance.plumbing.step import Output


def prepare_model(card: Output, model: str, spec: dict, tokenizer_spec: dict | None):
    """Leave the prepared base in models/MODEL/FORM and its card, the digest of every file, at `card`.

    The card also names the short cuts that the architecture allows. A model behind a server has nothing to prepare: its
    card says where it is asked.

    model: its name; spec: its catalog file; tokenizer_spec: the catalog file whose tokenizer a random model borrows.
    """
    if "api" in spec["source"]:
        files.write_json(card, address.card(model, spec["source"]))
        step.note(model={"name": model, "revision": spec["source"]["model"], "form": "api"})
        return
    form = spec["form"][base.device()]
    revision = spec["source"].get("revision") or spec["source"].get("sha256") or f"seed {spec['source']['seed']}"
    # all studies share the folder, so one at a time prepares and describes it
    with files.hold(base.STORE / model / "preparing", wait=True):
        source = fetching.fetch(spec["source"], base.STORE / model / "source", model, tokenizer_spec)
        base.prepare_base(source, form, base.STORE / model / form)
        allowed = shortcuts.choose(base.load_folder(base.STORE / model / form, base.compute_type()), model)
        base.write_card(card, model, form, revision, {"source": spec["source"]}, allowed)
    step.note(model={"name": model, "revision": revision, "form": form})


if __name__ == "__main__":
    step.run(prepare_model)
