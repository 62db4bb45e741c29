"""Fetch and verify a model, prepare its base once (rounded to NF4 unless its form is plain), examine it, and write its
model card."""

from bias_inheritance.models import base, examine, fetching, gguf_files
from bias_inheritance.models.chat import Chat
from bias_inheritance.models.served import address
from bias_inheritance.plumbing import files, step
from bias_inheritance.plumbing.errors import UserError
from bias_inheritance.plumbing.step import Output


def prepare_model(card: Output, model: str, spec: dict, tokenizer_spec: dict | None, targets: list = ()):
    """Write the prepared base to models/MODEL/FORM and its card, with the digest of every file, to `card`.

    The card also records which optimised computations are valid for the model. A served model needs no preparation: its
    card contains its address.

    model: its name; spec: source, form and system of its catalog file; tokenizer_spec: the catalog file whose tokenizer a
    random model borrows; targets: names of the layers that the study adapts, none if all linear ones. Raises UserError for a model that the pipeline cannot use.
    """
    if "api" in spec["source"]:
        files.write_json(card, address.card(model, spec["source"]))
        step.note(model={"name": model, "revision": spec["source"]["model"], "form": "api"})
        return
    form = spec["form"] if isinstance(spec["form"], str) else spec["form"][base.device()]
    prepared = base.STORE / model / form
    revision = spec["source"].get("revision") or spec["source"].get("sha256") or f"seed {spec['source']['seed']}"
    # all studies share the folder, so only one may write to it at a time
    with files.hold(base.STORE / model / "preparing", wait=True):
        source = base.STORE / model / "source"
        checkpoint = gguf_files.checkpoint(fetching.fetch(spec["source"], source, model, tokenizer_spec))
        tokenizer = base.load_tokenizer(checkpoint)
        if "random" in spec["source"]:
            base.build_random(spec["source"], tokenizer, source)
            checkpoint = source
        try:
            Chat(tokenizer, spec["system"])
            base.prepare_base(checkpoint, form, prepared)
            computed = examine.examine(base.load_folder(prepared, base.compute_type()), targets)
        except UserError as fault:
            raise UserError(f"catalog/models/{model}.yaml: {fault}") from None
        base.write_card(card, model, form, revision, {"source": spec["source"]}, **computed)
    step.note(model={"name": model, "revision": revision, "form": form, **computed})


if __name__ == "__main__":
    step.run(prepare_model)
