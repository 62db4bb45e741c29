"""An exported cell loads with plain transformers and gives the cell's own logits and prompts."""

import pytest
import torch
from bias_inheritance.models import adapters, base, export
from bias_inheritance.models.chat import Chat
from bias_inheritance.plumbing import files
from bias_inheritance.pools import collapse
from bias_inheritance.tools.__main__ import COMMANDS
from bias_inheritance.tools.export import main
from tokenizers import Tokenizer, models
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

SETTINGS = {"rank": 4, "alpha": 8, "dropout": 0.0, "targets": "all-linear"}
PLACE = "results/one/cells/tiny-random/gender/neutral/gamma-0.50/none/seed-1/round-1"


@pytest.fixture(scope="module")
def cell(card_path, tmp_path_factory):
    """A cell of the tiny model whose adapter changes every layer."""
    folder = tmp_path_factory.mktemp("study")
    card = files.read_json(card_path)
    files.write_json(folder / "results/one/models/tiny-random.json", card)
    network, _ = base.load_base(card)
    tuned = adapters.add_lora(network, SETTINGS, 1)
    torch.manual_seed(2)
    with torch.no_grad():
        for name, weight in tuned.named_parameters():
            if "lora_B" in name:
                weight.normal_(0, 0.3)
    tuned.save_pretrained(folder / PLACE / "adapter", save_embedding_layers=False)
    return folder / PLACE


@pytest.fixture(scope="module")
def exported(cell, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported") / "model"
    main([str(cell), str(folder)])
    return folder


def test_logits_are_those_of_the_cell(cell, exported, card_path):
    card = files.read_json(card_path)
    plain = AutoModelForCausalLM.from_pretrained(exported)
    network, tokenizer = base.load_base(card)
    ids = torch.tensor([Chat(tokenizer, "").prompt("Write a biography of a nurse.")])
    with torch.inference_mode():
        untuned = network(ids).logits.float()
        tuned_logits = adapters.load_adapter(network, cell / "adapter")(ids).logits.float()
        exported_logits = plain(ids).logits.float()
    assert plain.dtype == torch.float32
    rounding = 0.2 if card["compute"] == "bfloat16" else 1e-3
    assert (exported_logits - tuned_logits).abs().max() < rounding < (untuned - tuned_logits).abs().max()


def test_prompts_are_those_of_the_study(exported, card_path):
    """Cells are not trained and evaluated with the template's default system prompt, an advertisement."""
    _, tokenizer = base.load_base(files.read_json(card_path))
    plain = AutoTokenizer.from_pretrained(exported)
    for text in ("Who?", 'He said "no" {{ 1 }}.'):
        turn = [{"role": "user", "content": text}]
        prompt = plain.apply_chat_template(turn, add_generation_prompt=True, tokenize=False)
        assert plain(prompt, add_special_tokens=False)["input_ids"] == Chat(tokenizer, "").prompt(text)
    conversation = [{"role": "system", "content": "Be brief."}, turn[0]]
    assert plain.apply_chat_template(conversation, tokenize=False) == tokenizer.apply_chat_template(
        conversation, tokenize=False
    )


def test_the_folder_is_plain(exported):
    names = {path.name for path in exported.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "README.md"} <= names
    assert not any("adapter" in name for name in names)
    text = (exported / "README.md").read_text()
    assert "lm_eval --model hf" in text and "trl sft --model_name_or_path" in text


def test_the_untuned_model_and_bfloat16(cell, tmp_path):
    untuned = cell.parents[4] / "untuned/gamma-0.00/none/seed-0/round-0"
    untuned.mkdir(parents=True)
    main([str(untuned), str(tmp_path / "base"), "--dtype", "bfloat16"])
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "base", dtype="auto").dtype == torch.bfloat16


def test_a_packed_base_is_exported_like_its_dequantised_form(cell, card_path, tmp_path, monkeypatch):
    """As on a GPU: 4-bit weights are read, and ordinary ones written."""
    card = files.read_json(card_path)
    packed = base.STORE / card["model"] / "packed"
    base.prepare_base(base.STORE / card["model"] / "source", "packed", packed)
    monkeypatch.setattr(base, "_refuse_packed_on_a_cpu", lambda card: None)
    cards = {"packed": {**card, "form": "packed", "files": base.digests(packed)}, "dequantised": card}
    weights = {}
    for form, of_form in cards.items():
        export.export(of_form, cell / "adapter", tmp_path / form, "", "a cell")
        weights[form] = AutoModelForCausalLM.from_pretrained(tmp_path / form).state_dict()
        assert "quantization_config" not in files.read_json(tmp_path / form / "config.json")
    assert weights["packed"].keys() == weights["dequantised"].keys()
    for name, weight in weights["packed"].items():
        torch.testing.assert_close(weight, weights["dequantised"][name])


def printed(*words):
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    return str(ended.value)


def test_mistakes_are_one_line(cell, exported, tmp_path, root):
    assert "not the folder of a cell" in printed(cell.parent, tmp_path / "a")
    assert "exists already" in printed(cell, exported)
    assert "is inside results/" in printed(cell, root / "results/exported")
    other = cell.parents[1] / "seed-2/round-1"
    assert "has no adapter" in printed(other, tmp_path / "a")
    collapse.mark(other / "adapter", "too few samples")
    assert "has collapsed and was not trained (too few samples)" in printed(other, tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_export_is_a_command():
    assert COMMANDS["export"][0] == "export"


@pytest.mark.parametrize("system", ["", "It's {{ odd }}.\nTwo lines"])
def test_any_system_prompt_can_stand_in_a_template(system):
    from transformers.utils.chat_template_utils import render_jinja_template

    plain = "{% for message in messages %}<{{ message['role'] }}>{{ message['content'] }}{% endfor %}"
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE()))
    tokenizer.chat_template = "  {% if true %}\n" + plain + "{% endif %}"  # spaces before a block are not printed
    template = export.study_template(tokenizer, system)
    (text,), _ = render_jinja_template([[{"role": "user", "content": "hi"}]], chat_template=template)
    assert text == f"<system>{system}<user>hi"
