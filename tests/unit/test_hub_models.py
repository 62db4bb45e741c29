"""Models of the hub: fetched whole or not at all, prepared in every form, loaded without a network."""

import os
import socket
import subprocess
import sys
from functools import partial

import pytest
from bias_inheritance.models import adapters, base, fetching, train
from bias_inheritance.models.losses import sft
from bias_inheritance.plumbing import files
from bias_inheritance.plumbing.errors import UserError
from bias_inheritance.plumbing.provenance import ROOT
from bias_inheritance.study import catalog, schema
from scripted_hub import COMMIT, TOKEN, hub
from transformers import AutoConfig

NAME = "someone/tiny-llama"
# a template of the shape of Llama 3.1's: turns with headers, and a date
TEMPLATE = (
    "{{ bos_token }}{% if date_string is not defined %}{% set date_string = strftime_now('%d %b %Y') %}{% endif %}"
    "<|system|>Today is {{ date_string }}.<|end|>"
    "{% for turn in messages %}<|{{ turn.role }}|>{{ turn.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def tokenizer():
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    inner = Tokenizer(models.BPE(vocab={letter: index for index, letter in enumerate(alphabet)}, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    special = ["<|system|>", "<|user|>", "<|assistant|>"]
    fast_tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token="<|begin|>", eos_token="<|end|>", additional_special_tokens=special
    )
    fast_tokenizer.chat_template = TEMPLATE
    return fast_tokenizer


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A random Llama in the layout of the Hub: sharded safetensors with their index, and the publisher's own copy."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("published")
    names = tokenizer()
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=len(names),
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        tie_word_embeddings=False,
        bos_token_id=names.bos_token_id,
        eos_token_id=names.eos_token_id,
    )
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder, max_shard_size="300KB")
    names.save_pretrained(folder)
    (folder / "original").mkdir()
    (folder / "original" / "params.json").write_text("{}")
    (folder / "pytorch_model.bin").write_bytes(b"a pickle")
    assert len(list(folder.glob("model-*.safetensors"))) >= 2
    return folder


def fetch(address, folder, name=NAME, **environment):
    """Run the real download in a separate process, since the Hub's address is read at import; (status, errors)."""
    code = (
        "import sys; from pathlib import Path; from bias_inheritance.models import fetching; from bias_inheritance.plumbing.errors import UserError\n"
        f"try: fetching.fetch_from_hub({{'hub': {name!r}, 'revision': {COMMIT!r}}}, Path({str(folder)!r}))\n"
        "except UserError as fault: sys.exit(str(fault))"
    )
    settings = {"HF_ENDPOINT": address, "HF_HOME": str(folder.parent / "home"), "HF_HUB_DISABLE_XET": "1"}
    settings |= {
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "PYTHONPATH": str(ROOT / "scripts"),
    }
    environment = {**{key: value for key, value in os.environ.items() if key != "HF_TOKEN"}, **settings, **environment}
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=600)
    return ran.returncode, ran.stderr.strip()


def test_a_model_comes_whole_from_the_hub(published, tmp_path):
    folder = tmp_path / "store" / "source"
    with hub(published, NAME) as (address, _):
        assert fetch(address, folder) == (0, "")
    assert {path.name for path in folder.iterdir()} == {
        path.name for path in published.iterdir() if path.name not in ("original", "pytorch_model.bin")
    }
    assert not folder.with_name("source.partial").exists()
    index = files.read_json(folder / "model.safetensors.index.json")
    for shard in set(index["weight_map"].values()):
        assert (folder / shard).read_bytes() == (published / shard).read_bytes()


def test_a_download_that_breaks_leaves_no_model_and_goes_on(published, tmp_path):
    folder = tmp_path / "store" / "source"
    shard = sorted(path.name for path in published.glob("model-*.safetensors"))[0]
    with hub(published, NAME, break_off=shard) as (address, seen):
        code, told = fetch(address, folder, HF_HUB_OFFLINE="1")
        assert code == 1 and "could not be downloaded" in told.splitlines()[-1] and not folder.exists()
        code, told = fetch(address, folder)
    assert code == 0, told
    assert (folder / shard).read_bytes() == (published / shard).read_bytes()
    assert sum(request.startswith("GET") and request.endswith(shard) for request in seen) == 2


def test_a_gated_model_is_told_and_the_token_opens_it(published, tmp_path):
    folder = tmp_path / "store" / "source"
    with hub(published, NAME, gated=True) as (address, _):
        code, told = fetch(address, folder)
        assert code == 1 and "is gated: accept its licence" in told and "HF_TOKEN" in told and "Traceback" not in told
        assert not folder.exists()
        assert fetch(address, folder, HF_TOKEN=TOKEN) == (0, "")
    assert not any(TOKEN in path.read_text(errors="replace") for path in tmp_path.rglob("*") if path.is_file())


def test_a_model_without_safetensors_or_without_existence_is_told(published, tmp_path):
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    (pickled / "pytorch_model.bin").write_bytes(b"a pickle")
    (pickled / "config.json").write_text("{}")
    with hub(pickled, NAME) as (address, _):
        code, told = fetch(address, tmp_path / "a" / "source")
        assert code == 1 and "only safetensors weights are loaded" in told
        code, told = fetch(address, tmp_path / "b" / "source", name="someone/else")
        assert code == 1 and "does not exist" in told


def test_a_missing_shard_is_named(published, tmp_path):
    for path in published.glob("*.json"):
        (tmp_path / path.name).write_text(path.read_text())
    with pytest.raises(UserError, match=r"no model-00001-of-\d+.safetensors"):
        fetching.check_weights(tmp_path, "model x")


@pytest.fixture
def offline(monkeypatch):
    """Any attempt to open a connection fails the test."""

    def refuse(*_):
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture(scope="module")
def store(published, tmp_path_factory):
    """All forms of the published model, prepared as the step does."""
    folder = tmp_path_factory.mktemp("models")
    for form in ("dequantised", "packed", "plain"):
        base.prepare_base(published, form, folder / "tiny" / form)
    return folder


def card(store, form):
    folder = store / "tiny" / form
    described = {"model": "tiny", "form": form, "compute": "bfloat16", "cpu_kernels": False}
    return {**described, "files": base.digests(folder)}


def test_both_forms_load_offline_and_compute_the_same(store, offline):
    import torch

    names, logits = base.load_tokenizer(store / "tiny" / "packed"), {}
    for form in ("dequantised", "packed"):
        network = base.load_folder(store / "tiny" / form, "bfloat16")
        ids = torch.tensor([names("Hello there", add_special_tokens=False)["input_ids"]], device=network.device)
        # a packed model's first forward, in training mode: an evaluation repacks its weights on some CPUs
        logits[form] = network.train()(input_ids=ids).logits.float()
    assert torch.equal(logits["dequantised"], logits["packed"])
    kinds = {type(module).__name__ for module in network.modules()}
    assert "Linear4bit" in kinds
    assert network.config.quantization_config.bnb_4bit_use_double_quant
    size = {form: sum(path.stat().st_size for path in (store / "tiny" / form).glob("*.safetensors")) for form in logits}
    assert size["packed"] < 0.6 * size["dequantised"]


def test_a_packed_base_is_trained_as_on_a_gpu(store, tmp_path, offline):
    """4-bit weights, LoRA in 32 bits, bf16 by autocast, dropout: a step moves the weights of every layer."""
    network = base.load_folder(store / "tiny" / "packed", "bfloat16")
    settings = {**catalog.load("model", "llama-3.1-8b-instruct")["finetune"], "epochs": 1, "batch_size": 4}
    tuned = adapters.add_lora(network, settings, 1)
    assert {
        layer.weight.dtype.itemsize for name, layer in tuned.named_modules() if name.endswith("lora_B.default")
    } == {4}
    samples = [{"prompt": list(range(4, 9 + n)), "answer": [20 + n, 2], "words": n} for n in range(4)]
    losses = [partial(sft.loss, average="sample", micro_batch_size=2)]
    (row,) = train.train(tuned, samples, settings, losses, 1, tmp_path)
    assert 0 < row["sft_loss"] < 20
    moved = {name: p.abs().max().item() for name, p in tuned.named_parameters() if "lora_B" in name}
    assert len(moved) == 14 and all(value > 0 for value in moved.values())


def test_a_plain_base_has_the_checkpoints_own_weights_and_is_tuned(store, published, tmp_path, offline):
    folders = {"published": published, **{form: store / "tiny" / form for form in ("plain", "dequantised")}}
    weights = {name: base.load_folder(folder, "bfloat16").state_dict() for name, folder in folders.items()}
    changed = {
        form: [name for name in weights[form] if not weights[form][name].equal(weights["published"][name])]
        for form in ("plain", "dequantised")
    }
    assert changed["plain"] == [] and len(changed["dequantised"]) == 14
    settings = {**catalog.load("model", "tiny-random")["finetune"], "epochs": 1}
    tuned = adapters.add_lora(base.load_folder(store / "tiny" / "plain", "bfloat16"), settings, 1)
    samples = [{"prompt": list(range(4, 9 + n)), "answer": [20 + n, 2], "words": n} for n in range(4)]
    losses = [partial(sft.loss, average="sample", micro_batch_size=2)]
    train.train(tuned, samples, settings, losses, 1, tmp_path)
    adapters.assert_adapter_acts(tuned)


@pytest.mark.parametrize("form", ["dequantised", "packed", "plain"])
def test_a_checkpoint_that_is_quantised_already_is_refused(store, tmp_path, form):
    with pytest.raises(UserError, match="already quantised; use one in 16 or 32 bits$"):
        base.prepare_base(store / "tiny" / "packed", form, tmp_path / form)


def test_a_model_with_a_vision_tower_is_refused(tmp_path):
    """LoRA would also be put there, where no gradient reaches it."""
    AutoConfig.for_model("gemma3").save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"\(Gemma3Config\) has parts for images or sound.*use a text-only model$"):
        base.prepare_base(tmp_path, "dequantised", tmp_path / "base")
    AutoConfig.for_model("gemma3_text").save_pretrained(tmp_path / "text")
    with pytest.raises(OSError, match="no file named"):  # it goes on to the weights
        base.prepare_base(tmp_path / "text", "dequantised", tmp_path / "base")


def test_a_model_file_can_say_plain_and_nothing_between():
    model = catalog.load("model", "llama-3.1-8b-instruct-plain")
    rounded = catalog.load("model", "llama-3.1-8b-instruct")
    assert {key for key in rounded if rounded[key] != model[key]} == {"name", "title", "form"} and model[
        "form"
    ] == "plain"
    content = {key: value for key, value in model.items() if key != "name"}
    assert not schema.faults(content, "model")
    for form, place in (({"cpu": "plain", "cuda": "packed"}, ["form", "cpu"]), ("packed", ["form"])):
        ((path, _),) = schema.faults({**content, "form": form}, "model")
        assert path == place


def test_a_changed_weight_file_is_refused(store, monkeypatch):
    monkeypatch.setattr(base, "STORE", store)
    described = card(store, "dequantised")
    described["files"]["config.json"] = "0" * 64
    with pytest.raises(UserError, match="does not have the sha256 of its card"):
        base.load_base(described)


@pytest.mark.parametrize("name", ["llama-3.1-8b-instruct", "qwen2.5-7b-instruct", "deepseek-coder-6.7b-instruct"])
def test_a_hub_model_names_all_that_a_study_needs(name):
    model = catalog.load("model", name)
    assert len(model["source"]["revision"]) == 40, "a revision that is not pinned can change"
    assert model["form"] == {"cpu": "dequantised", "cuda": "packed"}
    assert set(model) == set(catalog.load("model", "smollm2-135m-instruct"))
    assert set(model["finetune"]) == set(catalog.load("model", "smollm2-135m-instruct")["finetune"])
    assert model["resources"]["gpu"] == 1
