"""The steps of the GPU benchmark on a small shape: packed on a GPU if there is one, otherwise on the CPU."""

import shutil

import bench_gpu
import pytest
from bias_inheritance.models import base
from bias_inheritance.study import catalog

SMALL = {
    **bench_gpu.SHAPE_8B,
    "vocab_size": 49152,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}


@pytest.fixture
def store(tmp_path, monkeypatch):
    """A separate store of models with the embedded model's files, whose tokenizer is used."""
    lender, model_folder = base.STORE / "smollm2-135m-instruct", tmp_path / "models" / "smollm2-135m-instruct"
    if not (lender / "source.json").exists():
        pytest.skip("the embedded model is not fetched yet (make study does)")
    model_folder.mkdir(parents=True)
    for path in (*lender.glob("source*"), *lender.glob("converted*")):
        (model_folder / path.name).symlink_to(path)
    monkeypatch.setattr(base, "STORE", tmp_path / "models")
    yield tmp_path
    shutil.rmtree(tmp_path / "models" / bench_gpu.NAME, ignore_errors=True)


def measured(folder):
    settings = {**catalog.load("model", "llama-3.1-8b-instruct")["finetune"], "epochs": 1, "learning_rate": 1.0e-2}
    generation = {"batch_size": 4, "max_new_tokens": 8, "temperature": 0.8, "top_k": 50, "top_p": 0.95}
    return bench_gpu.measure(SMALL, settings, generation, 16, folder)


def test_the_bench_measures_every_step(store):
    rows = [row for row in measured(store) if "memory" not in row[0]]
    assert [unit for _, _, unit in rows] == ["s", "s", "tokens/s", "tokens/s", "items/s"]
    assert all(value > 0 for _, value, _ in rows)
    assert "step" in (store / "training.csv").read_text()


@pytest.mark.gpu
def test_the_packed_base_trains_on_the_gpu(store):
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("no GPU is at hand")
    rows = {what: value for what, value, _ in measured(store)}
    assert rows["load the packed base: peak GPU memory"] > 0
    assert (base.STORE / bench_gpu.NAME / "packed" / "model.safetensors").exists()
    # examined on the GPU: batches and trees of options give the model's own log-probabilities there
    card = base.read_card(store / "card.json")
    assert (card["form"], card["cpu_kernels"], card["option_tree"]) == ("packed", False, True)
