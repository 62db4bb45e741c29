"""The prepared base: linear layers rounded to NF4 once (except in form plain), described by a card, loaded by every job.

A model's *card* (results/STUDY/models/MODEL.json) is the small file that represents the weights in the DAG: it contains
the digest of every file of the prepared base, its revision, its form, and how it may be computed. The weights are in
`models/MODEL/` and shared by all studies.
"""

import os
import shutil
import tempfile
from pathlib import Path

from bias_inheritance.models import network
from bias_inheritance.plumbing import files, provenance
from bias_inheritance.plumbing.errors import UserError

STORE = provenance.ROOT / "models"


def device():
    """'cuda' if there is a GPU, otherwise 'cpu': detected, not configurable."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def compute_type():
    """The number type for this machine: 'bfloat16' with hardware support, otherwise 'float32'.

    A CPU without AVX512-BF16 or AMX emulates bf16 products at a quarter of its float32 speed. The base's weights are the
    same rounded numbers in both types.
    """
    import torch

    native = torch.cuda.is_available() or torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return "bfloat16" if native else "float32"


# ---- preparing ----


def prepare_base(checkpoint, form, folder):
    """Read a checkpoint as bf16 and save it as a base in one of three forms.

    The linear layers of two forms are rounded to NF4 with double quantisation; the output head and the embeddings are not.
    'packed': 4-bit weights, for CUDA. 'dequantised': the same rounded numbers as bf16, which QLoRA computes with (packed
    weights break on CPUs after an evaluation). 'plain': nothing is rounded. Raises UserError for weights that are already
    quantised, and for a model that does not only read text.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(checkpoint)
    if hasattr(config, "quantization_config"):
        raise UserError("the weights of this checkpoint are already quantised; use one in 16 or 32 bits")
    if config.get_text_config() is not config:
        raise UserError(
            f"the model ({type(config).__name__}) has parts for images or sound, which no text trains; use a text-only model"
        )
    if form == "packed":
        model = AutoModelForCausalLM.from_pretrained(
            checkpoint, dtype=torch.bfloat16, quantization_config=_nf4(), device_map={"": device()}
        )
    else:
        model = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.bfloat16)
        if form == "dequantised":
            _round_to_nf4(model)
    save(folder, model, load_tokenizer(checkpoint))


def _nf4():
    import torch
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )


def _round_to_nf4(model):
    import bitsandbytes.functional as bnb
    import torch

    head = model.get_output_embeddings()
    for module in model.modules():
        if isinstance(module, torch.nn.Linear) and module is not head:
            packed, state = bnb.quantize_4bit(module.weight.data, quant_type="nf4", compress_statistics=True)
            module.weight.data = bnb.dequantize_4bit(packed, state).to(torch.bfloat16)


def save(folder, model, tokenizer):
    """Write a checkpoint to `folder` atomically, unless it already has the same bytes, which other jobs may be reading."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        model.save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
        for file in Path(temporary).iterdir():
            file.chmod(0o644)
        put(Path(temporary), folder)


def put(source, folder):
    """Move `source`, a folder on the same file system, to `folder`, unless that already has the same bytes."""
    if not folder.exists() or digests(source) != digests(folder):
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(source, folder)


def digests(folder):
    """{path below the folder: sha256} of every file in it."""
    return {os.path.relpath(entry["path"], folder): entry["sha256"] for entry in provenance.describe(folder)}


def build_random(source, tokenizer, folder):
    """Write a random Llama of the shape in `source` (hidden_size, layers, heads, …, seed) with another model's tokenizer.

    `emphasised` {token: factor} lengthens the tokens' embeddings, which are also the output weights, so that the model
    writes them more often: a text whose sentences end passes the checks of a pool.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(source["seed"])
    special = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")}
    defaults = {"vocab_size": len(tokenizer), "tie_word_embeddings": True}
    config = LlamaConfig(**special, **{**defaults, **source["shape"]})
    model = LlamaForCausalLM(config).to(torch.bfloat16)
    vocabulary = tokenizer.get_vocab()
    for token, factor in source.get("emphasised", {}).items():
        if token not in vocabulary:
            raise UserError(f"source.emphasised: the tokenizer has no token {token!r}; remove it")
        model.get_input_embeddings().weight.data[vocabulary[token]] *= factor
    save(folder, model, tokenizer)


# ---- the card ----


def read_card(path):
    return files.read_json(path)


def write_card(path, name, form, revision, spec, **computed):
    """Describe the prepared base so that other steps can depend on it: {model, form, compute, revision, files: {name: sha256}}.

    compute: `compute_type` of the machine that prepared the base, so that all jobs of a study use the same. computed:
    results of examine.py, cpu_kernels and option_tree; empty for an embedder.
    """
    files.write_json(
        path,
        {
            "model": name,
            "form": form,
            "compute": compute_type(),
            "revision": revision,
            "spec": spec,
            **computed,
            "files": digests(STORE / name / form),
        },
    )


# ---- loading ----


def load_base(card):
    """The prepared base named by a model card, ready for inference, and its tokenizer.

    Every file is checked against the card first, so no job uses weights other than those in its record.
    Raises UserError for a missing or changed file, and for packed weights without a GPU.
    """
    import torch

    # Snakemake passes the rule's `threads:` in this variable
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count()))
    folder = _verified(card)
    _refuse_packed_on_a_cpu(card)
    model = load_folder(folder, card["compute"])
    if card["cpu_kernels"] and device() == "cpu":
        from bias_inheritance.models.cpu_kernels import door

        door.accelerate(model)
    return model, load_tokenizer(folder)


def load_folder(folder, compute):
    """The prepared base in a folder, frozen, ready for inference in the type `compute`, without the CPU kernels."""
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    # packed weights are placed on their device while loading; they cannot be moved
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, compute), device_map={"": device()})
    return model.requires_grad_(False).eval()


def refuse_beyond_context(model, length, text):
    """Raise UserError for a text of more tokens than the model's context, beyond which its numbers mean nothing.

    text: what it is, for the message. A model without a maximum has no limit.
    """
    config = network.inner(model).config
    limit = getattr(config, "max_position_embeddings", None) or getattr(config, "max_seq_len", None)  # the latter: MPT
    if limit and length > limit:
        raise UserError(
            f"{text} has {length} tokens, and the model's context is {limit}; shorten it or use another model"
        )


def load_tokenizer(folder):
    """A checkpoint's tokenizer; it pads with the end token if it has no padding token."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_embedder(card):
    """The sentence embedder named by a card, in float32 for inference, and its tokenizer."""
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    folder = _verified(card)
    model = AutoModel.from_pretrained(folder, use_safetensors=True).to(device()).float()
    return model.requires_grad_(False).eval(), AutoTokenizer.from_pretrained(folder)


def _refuse_packed_on_a_cpu(card):
    if card["form"] == "packed" and device() == "cpu":
        raise UserError(
            f"{card['model']} was prepared for a GPU (packed 4-bit weights), and this machine has none; packed weights break on a CPU: run on a machine with a GPU, or prepare the model again with --forcerun prepare_model"
        )


def _verified(card):
    """The folder of a card's model. Raises UserError for a file that does not match the card."""
    folder = STORE / card["model"] / card["form"]
    for name, expected in card["files"].items():
        path = folder / name
        if not path.exists() or provenance.sha256(path) != expected:
            state = "is missing" if not path.exists() else "does not have the sha256 of its card"
            raise UserError(f"{path}: model file {state}; run again with --forcerun prepare_model prepare_embedder")
    return folder
