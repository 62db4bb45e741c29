"""One-time conversion of GGUF files to ordinary checkpoints: bf16 safetensors, a tokenizer and its chat template.

transformers parses the whole file three times, for configuration, tokenizer and weights, which takes far longer than
loading the converted checkpoint.
"""

from pathlib import Path

from bias_inheritance.models import base
from bias_inheritance.plumbing import files, provenance
from bias_inheritance.plumbing.errors import UserError


def checkpoint(folder):
    """The checkpoint of a downloaded model: `folder`, or its sibling `converted` if it contains a GGUF file.

    `converted.json` next to it has the digests of the GGUF file, of this program and of each file written.
    Raises UserError for a GGUF file with an unknown pre-tokeniser.
    """
    gguf_file = next(folder.glob("*.gguf"), None)
    if gguf_file is None:
        return folder
    converted, note = folder.with_name("converted"), folder.with_name("converted.json")
    made_from = {"source": provenance.sha256(gguf_file), "program": provenance.read_source(__file__).digest}
    with files.hold(folder.parent / "lock", wait=True):
        if not (note.exists() and files.read_json(note) == {**made_from, "files": base.digests(converted)}):
            _convert(gguf_file, converted)
            files.write_json(note, {**made_from, "files": base.digests(converted)})
    return converted


def _convert(gguf_file, folder):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    tokenizer = AutoTokenizer.from_pretrained(gguf_file.parent, gguf_file=gguf_file.name)
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizer(gguf_file)
    model = AutoModelForCausalLM.from_pretrained(
        gguf_file.parent,
        gguf_file=gguf_file.name,
        dtype=torch.bfloat16,
        quantization_config=GgufConfig(dequantize=True),
    )
    base.save(folder, model, tokenizer)


def pre_tokenizer(gguf_file):
    """The pre-tokeniser named in the GGUF file's `tokenizer.ggml.pre`.

    transformers 5.23 ignores that field and uses GPT-2's. The names are llama.cpp's (src/llama-vocab.cpp).
    """
    from gguf import GGUFReader
    from tokenizers import pre_tokenizers

    field = GGUFReader(gguf_file).get_field("tokenizer.ggml.pre")
    name = field.contents() if field else "gpt-2"
    words = pre_tokenizers.ByteLevel(add_prefix_space=False)
    known = {"gpt-2": words, "smollm": pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), words])}
    if name not in known:
        raise UserError(
            f"{Path(gguf_file).name}: pre-tokeniser {name!r} (tokenizer.ggml.pre) is not among {', '.join(known)}; use the model's safetensors checkpoint from the Hub (source.hub)"
        )
    return known[name]
