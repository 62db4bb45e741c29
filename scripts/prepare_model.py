"""Fetch a model, verify it, round its base to NF4 once, examine it, and describe the result on a card."""

from bias_inheritance.models import base, examine, fetching, gguf_files
from bias_inheritance.models.chat import Chat
from bias_inheritance.models.served import address
from bias_inheritance.plumbing import files, step
from bias_inheritance.plumbing.errors import UserError
from bias_inheritance.plumbing.step import Output


def prepare_model(card: Output, model: str, spec: dict, tokenizer_spec: dict | None):
    """Leave the prepared base in models/MODEL/FORM and its card, the digest of every file, at `card`.

    The card also says how the model may be computed. A model behind a server has nothing to prepare: its card says where
    it is asked.

    model: its name; spec: source, form and system of its catalog file; tokenizer_spec: the catalog file whose tokenizer a
    random model borrows. Raises UserError for a model that the pipeline cannot use.
    """
    if "api" in spec["source"]:
        files.write_json(card, address.card(model, spec["source"]))
        step.note(model={"name": model, "revision": spec["source"]["model"], "form": "api"})
        return
    form = spec["form"][base.device()]
    prepared = base.STORE / model / form
    revision = spec["source"].get("revision") or spec["source"].get("sha256") or f"seed {spec['source']['seed']}"
    # all studies share the folder, so one at a time prepares and describes it
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
            computed = examine.examine(base.load_folder(prepared, base.compute_type()))
        except UserError as fault:
            raise UserError(f"catalog/models/{model}.yaml: {fault}") from None
        base.write_card(card, model, form, revision, {"source": spec["source"]}, **computed)
    step.note(model={"name": model, "revision": revision, "form": form, **computed})


if __name__ == "__main__":
    step.run(prepare_model)
