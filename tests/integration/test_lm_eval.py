"""lm-evaluation-harness loads an exported cell and scores options like the cell.

It needs its own environment: `make bench` creates one, or LM_EVAL_PYTHON names an interpreter.
"""

import json
import os
import subprocess
from pathlib import Path

import pytest
import torch
from bias_inheritance.models import adapters, base, export, scoring
from bias_inheritance.models.chat import Chat
from bias_inheritance.plumbing import files
from bias_inheritance.plumbing.provenance import ROOT
from peers.multiple_choice import TASK

PYTHON = Path(os.environ.get("LM_EVAL_PYTHON") or ROOT / ".work/bench/lm-eval/bin/python")


@pytest.mark.skipif(not PYTHON.exists(), reason="no environment with lm-eval; make bench makes one")
def test_lm_eval_gives_the_log_probabilities_of_the_cell(card_path, tmp_path):
    card = files.read_json(card_path)
    network, tokenizer = base.load_base(card)
    tuned = adapters.add_lora(network, {"rank": 4, "alpha": 8, "dropout": 0.0, "targets": "all-linear"}, 1)
    torch.manual_seed(2)
    with torch.no_grad():
        for name, weight in tuned.named_parameters():
            if "lora_B" in name:
                weight.normal_(0, 0.3)
    tuned.save_pretrained(tmp_path / "adapter", save_embedding_layers=False)
    export.export(card, tmp_path / "adapter", tmp_path / "model", "", "a cell of a test")

    chat = Chat(tokenizer, "")
    items = [
        {"prompt": f"Who wrote the {thing}? Answer.", "options": ["The nurse", "The architect", "Nobody"]}
        for thing in ("book", "song", "long letter to the board")
    ]
    base_model, _ = base.load_base(card)
    # lm-eval scores an option without the token that ends the turn
    expected = scoring.option_logprobs(
        adapters.load_adapter(base_model, tmp_path / "adapter"),
        chat.opening_tokens(),
        [chat.prompt(item["prompt"]) for item in items],
        [[chat.answer(option)[:-1] for option in item["options"]] for item in items],
        tree=card["option_tree"],
    )

    (tmp_path / "items.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    (tmp_path / "options.yaml").write_text(TASK % (tmp_path / "items.jsonl"))
    command = [PYTHON, "-m", "lm_eval", "run", "--model", "hf"]
    command += ["--model_args", f"pretrained={tmp_path / 'model'},dtype=float32", "--device", "cpu"]
    command += ["--tasks", "options", "--include_path", tmp_path, "--apply_chat_template", "--log_samples"]
    command += ["--output_path", tmp_path / "out"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "HF_HUB_OFFLINE": "1"})
    assert done.returncode == 0, done.stderr[-2000:]
    (samples,) = (tmp_path / "out").rglob("samples_options_*.jsonl")
    rows = sorted(files.read_jsonl(samples), key=lambda row: row["doc_id"])
    lm_eval_logprobs = [[float(response[0][0]) for response in row["resps"]] for row in rows]
    tolerance = 0.5 if card["compute"] == "bfloat16" else 1e-2
    for ours, theirs in zip(expected, lm_eval_logprobs, strict=True):
        # lm-eval counts the line break that ends the prompt as the first token of every option
        assert [value - theirs[0] for value in theirs] == pytest.approx([v - ours[0] for v in ours], abs=tolerance)
