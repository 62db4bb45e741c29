"""Tiny random models of many architectures: what is scored, trained on and sampled has the model's own logits."""

import math

import pytest
import torch
from bias_inheritance.models import base, scoring, shortcuts, training
from bias_inheritance.models.cpu_kernels import attention
from bias_inheritance.plumbing.errors import UserError
from transformers import AutoConfig, AutoModelForCausalLM

SIZE = {
    "vocab_size": 300, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 4, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 256, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "num_local_experts": 4, "moe_intermediate_size": 24}
GEMMA = {"final_logit_softcapping": 1.0, "query_pre_attn_scalar": 8}
SHORT = {"sliding_window": 6}  # than every text here
PLAIN, PACKED, TREE = base.SHORT_CUTS
# settings under which a step that is left out would show, and the short cuts that are expected
ARCHITECTURES = {
    "llama": ({}, base.SHORT_CUTS),
    "qwen2": ({}, base.SHORT_CUTS),
    "qwen3": ({}, base.SHORT_CUTS),
    "smollm3": ({}, base.SHORT_CUTS),
    "olmo2": ({}, base.SHORT_CUTS),
    "phi3": ({}, base.SHORT_CUTS),
    "gemma": ({}, base.SHORT_CUTS),
    "mistral": ({"sliding_window": None}, base.SHORT_CUTS),
    "mixtral": (EXPERTS, base.SHORT_CUTS),
    "qwen3_moe": (EXPERTS, base.SHORT_CUTS),
    # logits scaled or capped behind the head
    "granite": ({"logits_scaling": 8.0, "attention_multiplier": 0.5}, base.SHORT_CUTS),
    "granitemoe": ({**EXPERTS, "logits_scaling": 8.0}, base.SHORT_CUTS),
    "cohere": ({"logit_scale": 4.0}, base.SHORT_CUTS),
    # attention with a window, a cap or sinks
    "cohere2": ({**SHORT, "logit_scale": 4.0}, [PACKED]),
    "gemma2": ({**SHORT, **GEMMA, "attn_logit_softcapping": 0.5}, [PACKED]),
    "gemma3_text": ({**SHORT, **GEMMA}, [PACKED]),
    "mistral with a window": (SHORT, [PACKED]),
    "qwen2 with a window": ({**SHORT, "use_sliding_window": True, "max_window_layers": 1}, [PACKED]),
    "phi3 with a window": (SHORT, [PACKED]),
    "gpt_oss": ({**SHORT, **EXPERTS}, []),  # and transformers makes no masks for its packed samples
    # attention that is never told where samples end
    "stablelm": ({}, [PACKED, TREE]),
    "nemotron": ({}, [PACKED, TREE]),
    # attention that drops out
    "seed_oss": ({}, [PACKED, TREE]),
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
    monkeypatch.setattr(shortcuts, "TOLERANCE", 1e-3)  # 32 bits
    monkeypatch.setattr(base, "device", lambda: "cpu")
    model = random_model(name)
    probe = shortcuts._Probe(model)
    kept = shortcuts.choose(model, name)
    window = scoring.window(model.config)
    # a tree's mask stands in for the model's own, so it is no use where that has a window
    assert [cut for cut in kept if cut != TREE or window == math.inf] == list(ARCHITECTURES[name][1])
    off = {"training": probe.training(), "scores": probe.scores(), "texts": probe.texts()}
    tuned = training.add_lora(model, LORA, 3)
    with torch.no_grad():
        for key, weight in tuned.named_parameters():
            if "lora_B" in key:
                weight.normal_(0, 0.05, generator=torch.Generator().manual_seed(1))
    probe = shortcuts._Probe(tuned)
    off |= {"tuned, training": probe.training(), "tuned, scores": probe.scores(), "tuned, texts": probe.texts()}
    print(name, kept, {what: f"{nats:.0e}" for what, nats in off.items()})
    assert max(off.values()) < 1e-4


@pytest.mark.parametrize("name", ["granite", "cohere", "gemma3_text"])
def test_a_step_behind_the_head_that_is_not_known_is_refused(name, monkeypatch):
    monkeypatch.setattr(base, "_after_head", lambda config: lambda logits: logits)
    with pytest.raises(UserError, match="gives other log-probabilities in batches than for one text alone"):
        shortcuts.choose(random_model(name), name)


def test_an_architecture_that_cannot_be_filled_up_is_refused_by_name():
    """Mamba reads what fills up a short prompt as if it were text."""
    with pytest.raises(UserError, match="^m: the architecture MambaForCausalLM gives other log-probabilities"):
        shortcuts.choose(random_model("mamba"), "m")


def test_a_text_longer_than_the_window_is_scored_in_the_plain_way():
    """What is asked when a model is prepared is shorter than most windows."""
    settings = {**SIZE, "sliding_window": 48}
    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model("mistral", **settings)).float().eval()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:
                weight.mul_(15)
    assert shortcuts.choose(model, "m") == [PACKED, TREE]
    stream = torch.Generator().manual_seed(2)
    for length in (40, 80):
        prompt = torch.randint(3, 300, (length,), generator=stream).tolist()
        options = [[20, 21, 22], [20, 30]]
        (found,) = scoring.option_logprobs(model, prompt[:4], [prompt], [options])
        with torch.inference_mode():
            expected = [
                torch.log_softmax(model(input_ids=torch.tensor([prompt + option])).logits[0, length - 1 : -1], -1)
                .gather(1, torch.tensor(option).unsqueeze(1)).sum().item()
                for option in options
            ]  # fmt: skip
        assert found == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    "argument",
    [{"softcap": 30.0}, {"sliding_window": 6}, {"s_aux": torch.zeros(4)}, {"position_bias": torch.zeros(1)}, {"dropout": 0.1}, {"new": 1}],
    ids=lambda argument: next(iter(argument)),
)  # fmt: skip
@pytest.mark.parametrize("packed", [None, torch.tensor([0, 5])], ids=["rows", "packed"])
def test_plain_attention_refuses_what_it_does_not_compute(argument, packed):
    states = torch.randn(1, 4, 5, 8)
    known = {"position_ids": torch.arange(5), "use_cache": True, "sliding_window": None, "softcap": None}
    attention.plain_attention(None, states, states, states, None, 0.3, cu_seq_lens_q=packed, **known)
    with pytest.raises(attention.Unsupported, match=next(iter(argument))):
        attention.plain_attention(
            None, states, states, states, None, 0.3, cu_seq_lens_q=packed, **{**known, **argument}
        )


def test_on_cuda_attention_stays_the_models_own(monkeypatch):
    monkeypatch.setattr(base, "device", lambda: "cuda")
    model = random_model("llama")
    assert shortcuts.choose(model, "llama") == [PACKED, TREE]
    assert model.config._attn_implementation == "sdpa"
