"""Tiny random models of many architectures: scoring, training and sampling agree with the model's own logits.

This test checks the table in docs/models.md: on a difference it prints the row to insert there.
"""

import math
import re

import pytest
import torch
from bias_inheritance.models import adapters, base, examine, network, scoring
from bias_inheritance.models.cpu_kernels import attention, door
from bias_inheritance.plumbing.errors import UserError
from bias_inheritance.plumbing.provenance import ROOT
from transformers import AutoConfig, AutoModelForCausalLM

SIZE = {
    "vocab_size": 300, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 4, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 256, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "num_local_experts": 4, "moe_intermediate_size": 24}
GEMMA = {"final_logit_softcapping": 1.0, "query_pre_attn_scalar": 8}
SHORT = {"sliding_window": 6}  # than every text here
KERNELS, TREE, ONE_BY_ONE, REFUSED = "CPU kernels", "plain", "plain, options one by one", "refused"
# settings under which a step that is left out would show, and the path that is expected
ARCHITECTURES = {
    "llama": ({}, KERNELS),
    "qwen2": ({}, TREE),
    "qwen3": ({}, TREE),
    "smollm3": ({}, TREE),
    "olmo2": ({}, TREE),
    "phi3": ({}, TREE),
    "gemma": ({}, TREE),
    "mistral": ({"sliding_window": None}, TREE),
    # logits scaled or capped after the head
    "granite": ({"logits_scaling": 8.0, "attention_multiplier": 0.5}, TREE),
    "cohere": ({"logit_scale": 4.0, "use_qk_norm": True}, TREE),
    "nanochat": ({"final_logit_softcapping": 1.0}, TREE),
    # multiplies by the setting that Granite divides by
    "hyperclovax": ({"logits_scaling": 8.0}, REFUSED),
    # attention with a window or a cap
    "cohere2": ({**SHORT, "logit_scale": 4.0}, ONE_BY_ONE),
    "gemma2": ({**SHORT, **GEMMA, "attn_logit_softcapping": 0.5}, ONE_BY_ONE),
    "gemma3_text": ({**SHORT, **GEMMA}, ONE_BY_ONE),
    "gemma4_text": ({**SHORT, **GEMMA}, ONE_BY_ONE),
    "vaultgemma": ({**SHORT, **GEMMA}, ONE_BY_ONE),
    "granite_swa": ({**SHORT, "logits_scaling": 8.0}, ONE_BY_ONE),
    "mistral with a window": (SHORT, ONE_BY_ONE),
    "qwen2 with a window": ({**SHORT, "use_sliding_window": True, "max_window_layers": 1}, ONE_BY_ONE),
    "phi3 with a window": (SHORT, ONE_BY_ONE),
    # attention with other arguments
    "stablelm": ({}, TREE),
    "nemotron": ({}, TREE),
    "seed_oss": ({}, TREE),
    "gpt_neox": ({}, TREE),
    "glm4": ({}, TREE),
    # positions as a bias on the attention (ALiBi), which a tree's mask does not have
    "mpt": ({}, ONE_BY_ONE),
    # weights in three dimensions
    "mixtral": (EXPERTS, REFUSED),
    "qwen3_moe": (EXPERTS, REFUSED),
    "granitemoe": ({**EXPERTS, "logits_scaling": 8.0}, REFUSED),
    "gpt_oss": ({**SHORT, **EXPERTS}, REFUSED),
    # padding is read as text
    "mamba": ({}, REFUSED),
    # convolutions and linear attention beside attention
    "qwen3_5_text": ({}, REFUSED),
}
LORA = {"rank": 4, "alpha": 8, "dropout": 0.0, "targets": "all-linear"}


@pytest.fixture(autouse=True)
def one_thread():
    """Threads cost more than they bring at this size."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def random_model(name):
    settings = ARCHITECTURES[name][0] if name in ARCHITECTURES else {}
    config = AutoConfig.for_model(name.split()[0], **{**SIZE, **settings})
    model = AutoModelForCausalLM.from_config(config).float().eval().requires_grad_(False)
    stream = torch.Generator().manual_seed(3)
    for key, weight in model.named_parameters():
        if weight.ndim > 1 or "sink" in key:  # larger than at the start of a training, so that logits differ
            weight.copy_(0.3 * torch.randn(weight.shape, generator=stream))
    return model


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_way_of_reading_logits_gives_the_models_own(name, monkeypatch):
    monkeypatch.setattr(examine, "TOLERANCE", 1e-3)  # 32 bits
    monkeypatch.setattr(base, "device", lambda: "cpu")
    model = random_model(name)
    difference = None
    try:
        computed = examine.examine(model)
    except UserError as refusal:
        assert "\n" not in str(refusal) and type(model).__name__ in str(refusal)
        path = REFUSED
    else:
        # a tree's mask stands in for the model's own, so it is no use where that has a window
        tree = computed["option_tree"] and scoring.attention_window(model.config) == math.inf
        path = KERNELS if computed["cpu_kernels"] else TREE if tree else ONE_BY_ONE
        tuned = with_an_adapter(model)
        difference = max(largest_difference(each, computed["option_tree"]) for each in (model, tuned))
    assert path == ARCHITECTURES[name][1]
    documented_path, documented = rows_of_the_table()[name]
    assert path == documented_path and (difference is None) == (documented == "–"), row(name, path, difference)
    # another CPU rounds otherwise
    assert difference is None or difference < 10 * float(documented), row(name, path, difference)


def with_an_adapter(model):
    tuned = adapters.add_lora(model, LORA, 3)
    with torch.no_grad():
        for key, weight in tuned.named_parameters():
            if "lora_B" in key:
                weight.normal_(0, 0.05, generator=torch.Generator().manual_seed(1))
    return tuned


def largest_difference(model, tree):
    """Of losses, texts and options from the model's own logits for one text at a time, in nats per token."""
    probe = examine.Probe(model)
    return max(probe.losses(), probe.texts(), probe.tree() if tree else probe.one_by_one())


def rows_of_the_table():
    """{architecture: (path, largest difference)} as docs/models.md has them."""
    page = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    return {name: (path, nats) for name, path, nats in re.findall(r"^\| `([^`]+)` \| ([^|]+) \| (\S+) \|$", page, re.M)}


def row(name, path, difference):
    bound = "–" if difference is None else f"1e{math.ceil(math.log10(max(difference, 1e-7)))}"
    return f"put into docs/models.md:\n| `{name}` | {path} | {bound} |"


def test_the_table_lists_these_architectures_and_no_others():
    assert list(rows_of_the_table()) == list(ARCHITECTURES)


@pytest.mark.parametrize("step", [lambda logits: logits / 8, torch.tanh], ids=["scale", "cap"])
def test_a_step_after_the_head_that_is_not_known_is_refused(step):
    def after_the_head(module, arguments, output):
        output.logits = step(output.logits)

    model = random_model("llama")
    model.register_forward_hook(after_the_head)
    with pytest.raises(UserError, match="gives different log-probabilities in batches than for a single text"):
        examine.examine(model)


@pytest.mark.parametrize("name", ["mixtral", "gpt_oss"])
def test_experts_that_would_be_neither_rounded_nor_tuned_are_refused(name):
    with pytest.raises(
        UserError, match=r"has \d\d% of its weights outside linear layers \(.*experts.*use a dense transformer"
    ):
        examine.examine(random_model(name))


@pytest.mark.parametrize(
    ("name", "targets", "fits"),
    [
        ("llama", adapters.PROJECTIONS, True),
        ("qwen2", adapters.PROJECTIONS, True),
        ("llama", ["q_proj", "v_proj"], True),
        ("phi3", adapters.PROJECTIONS, False),
        ("phi3", ["o_proj", "down_proj"], False),
        ("glm4", adapters.PROJECTIONS, False),
        ("mpt", adapters.PROJECTIONS, False),
        ("gpt_neox", adapters.PROJECTIONS, False),
    ],
)
def test_listed_layers_must_be_those_of_the_model(name, targets, fits):
    """peft adapts the layers that it finds, however few, and names no other."""
    model = random_model(name)
    if fits:
        examine.refuse_other_layers(model, targets)
    else:
        with pytest.raises(
            UserError,
            match=f"the linear layers of the .*{type(model).__name__} are .*; use finetune.targets: all-linear$",
        ):
            examine.examine(model, targets)
    linear = [module for module in model.modules() if isinstance(module, torch.nn.Linear)]
    tuned = adapters.add_lora(model, LORA, 3)  # all of them but the head
    assert sum("lora_B" in key for key, _ in tuned.named_parameters()) == len(linear) - 1


def test_an_architecture_that_reads_padding_as_text_is_refused_by_name(monkeypatch):
    monkeypatch.setattr(examine, "LARGEST_UNTOUCHED", 1.0)  # it has a convolution, too
    with pytest.raises(UserError, match="^the architecture MambaForCausalLM gives different log-probabilities"):
        examine.examine(random_model("mamba"))


def test_a_text_longer_than_the_window_is_scored_option_by_option():
    """The texts used when a model is prepared are shorter than most windows."""
    settings = {**SIZE, "sliding_window": 48}
    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model("mistral", **settings)).float().eval()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:
                weight.mul_(15)
    assert examine.examine(model)["option_tree"]
    stream = torch.Generator().manual_seed(2)
    for length in (40, 80):
        prompt = torch.randint(3, 300, (length,), generator=stream).tolist()
        options = [[20, 21, 22], [20, 30]]
        (logprobs,) = scoring.option_logprobs(model, prompt[:4], [prompt], [options], tree=True)
        with torch.inference_mode():
            expected = [
                torch.log_softmax(model(input_ids=torch.tensor([prompt + option])).logits[0, length - 1 : -1], -1)
                .gather(1, torch.tensor(option).unsqueeze(1)).sum().item()
                for option in options
            ]  # fmt: skip
        assert logprobs == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    "argument",
    [{"softcap": 30.0}, {"sliding_window": 6}, {"s_aux": torch.zeros(4)}, {"position_bias": torch.zeros(1)}, {"dropout": 0.1}, {"new": 1}],
    ids=lambda argument: next(iter(argument)),
)  # fmt: skip
@pytest.mark.parametrize("packing", [None, attention.packing(0, [(0, 5)])], ids=["rows", "packed"])
def test_the_kernels_attention_refuses_what_it_does_not_compute(argument, packing):
    states = torch.randn(1, 4, 5, 8)
    known = {"position_ids": torch.arange(5), "use_cache": True, "sliding_window": None, "softcap": None}
    attention.cpu_attention(None, states, states, states, None, 0.3, packing=packing, **known)
    with pytest.raises(attention.Unsupported, match=next(iter(argument))):
        attention.cpu_attention(None, states, states, states, None, 0.3, packing=packing, **{**known, **argument})


def test_on_cuda_there_are_no_kernels(monkeypatch):
    monkeypatch.setattr(base, "device", lambda: "cuda")
    model = random_model("llama")
    assert examine.examine(model) == {"cpu_kernels": False, "option_tree": True}
    assert model.config._attn_implementation == "sdpa" and not network.accelerated(model)


def test_kernels_that_disagree_are_not_used(monkeypatch, capsys):
    accelerate = door.accelerate

    def wrongly(model):
        accelerate(model)
        model.model.layers[0].self_attn.scaling *= 2

    monkeypatch.setattr(door, "accelerate", wrongly)
    monkeypatch.setattr(base, "device", lambda: "cpu")
    assert examine.examine(random_model("llama")) == {"cpu_kernels": False, "option_tree": True}
    assert "no CPU kernels: losses: off by" in capsys.readouterr().out
