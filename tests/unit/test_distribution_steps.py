"""Distances of a pool and of its cells, on the tiny random model with adapters trained here and a random sentence embedder."""

import pandas as pd
import pytest
import torch
from bias_inheritance.data import labelled
from bias_inheritance.models import base
from bias_inheritance.plumbing import files
from bias_inheritance.pools import mixing
from bias_inheritance.study import catalog
from compare_pools import MOST, compare_pools, independent
from finetune import tune
from measure_distributions import measure_distributions

PLACE = {"model": "tiny-random", "domain": "gender", "bias": "neutral", "seed": 1, "round": 1}
CELLS = [PLACE | {"gamma": "0.50", "mitigation": name} for name in ("none", "loss")]
MODEL = catalog.load("model", "tiny-random") | {"name": "tiny-random"}
METRICS = {f"{prefix}{name}" for prefix in ("", "hidden_") for name in ("mmd", "auc", "mean_distance")}


def random_bert(folder, texts):
    """Write a one-layer BERT of random weights that knows the words of `texts`; return its card."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    words = sorted({word for text in texts for word in text.split()})
    known = {word: number for number, word in enumerate(["[PAD]", "[UNK]", *words])}
    tokenizer = Tokenizer(models.WordLevel(known, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]").save_pretrained(folder)
    torch.manual_seed(1)
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    BertModel(BertConfig(vocab_size=len(known), **shape)).save_pretrained(folder)


@pytest.fixture(scope="module")
def place(card_path, splits, domain, tmp_path_factory):
    """Originals, a pool of other texts, and the two cells that were trained on both."""
    folder = tmp_path_factory.mktemp("distributions")
    # one of each twin
    old = splits["source"][0:80:8]
    new = [
        {**sample, "id": f"p{number}", "text": f"Well. {sample['text'][:150]}", "requested_group": None}
        for number, sample in enumerate(splits["test"][0:80:8])
    ]
    files.write_jsonl(folder / "originals.jsonl", old)
    files.write_jsonl(folder / "neutral.jsonl", new)
    files.write_jsonl(folder / "balanced.jsonl", [{**sample, "text": f"So. {sample['text'][60:]}"} for sample in new])
    random_bert(folder / "store/random-bert/plain", [sample["text"] for sample in old + new])
    (folder / "store/tiny-random").symlink_to(base.STORE / "tiny-random")
    for cell in CELLS:
        cell_folder = folder / cell["mitigation"]
        mitigation = catalog.load("mitigation", cell["mitigation"])
        rows = mixing.training_samples(old, new, labelled, domain, mitigation, 0.0, 1)
        files.write_jsonl(cell_folder / "train.jsonl", rows)
        (cell_folder / "work").mkdir()
        alignment = {**mitigation["loss"], "weight": 1.0} if "loss" in mitigation else None
        outputs = cell_folder / "adapter", cell_folder / "training.csv", cell_folder / "work"
        tune(card_path, rows, [], *outputs, MODEL, MODEL["finetune"] | {"epochs": 3}, alignment, 1)
    return folder


@pytest.fixture(scope="module")
def compare(place, card_path, domain):
    """compare_pools of one pool and the given cells: (its rows, the base that it loaded)."""
    patch = pytest.MonkeyPatch()
    patch.setattr(base, "STORE", place / "store")
    base.write_card(place / "embedder.json", "random-bert", "plain", "none", {})
    load, loaded = base.load_base, []

    def remembered(card):
        loaded.append(load(card))
        return loaded[-1]

    patch.setattr(base, "load_base", remembered)

    def run(name, cells, pools=("neutral",)):
        compare_pools(
            card_path,
            place / "embedder.json",
            place / "originals.jsonl",
            [place / f"{bias}.jsonl" for bias in pools],
            [place / cell["mitigation"] / "train.jsonl" for cell in cells],
            [place / cell["mitigation"] / "adapter" for cell in cells],
            place / f"{name}.json",
            place / f"{name}-points.json",
            place / f"{name}-means.json",
            domain=domain,
            model=MODEL,
            embedder={"max_tokens": 64, "batch_size": 8},
            places=[PLACE | {"bias": bias} for bias in pools],
            cells=cells,
            permutations=40,
        )
        return files.read_json(place / f"{name}.json"), loaded[-1][0]

    yield run
    patch.undo()


def test_one_of_each_twin_enters_a_test_and_no_more_of_either_origin_than_it_takes():
    ids = [f"s{number}" for number in range(3 * MOST)]
    samples = {name: {"twin": f"t{number // 2}"} for number, name in enumerate(ids)}
    augmented = [number >= 2 * MOST + 100 for number in range(3 * MOST)]
    kept = independent(samples, ids, augmented)
    assert len({(augmented[index], samples[ids[index]]["twin"]) for index in kept}) == len(kept)
    # 1,050 twins of originals, of which the most enter, and 450 of generated text, which all do
    assert [sum(augmented[index] == new for index in kept) for new in (False, True)] == [MOST, 450]


def values(rows, mitigation):
    return {row["metric"]: row["value"] for row in rows if row.get("mitigation") == mitigation}


def test_a_pool_and_its_cells_are_compared_each_under_its_own_model(compare):
    rows, _ = compare("both", CELLS)
    assert [set(values(rows, name)) for name in (None, "none", "loss")] == [METRICS] * 3
    assert all(row["n"] == 10 and row["group"] == "all" and 0 < row["p"] <= 1 for row in rows)
    pool, none, loss = (values(rows, name) for name in (None, "none", "loss"))
    for name in METRICS - {"auc"}:  # its folds are drawn for each cell
        # `loss` leaves the texts as they are, and only the model's own states know the adapter
        assert (none[name] == pytest.approx(loss[name], rel=1e-6)) == (not name.startswith("hidden_"))
    assert pool["hidden_mean_distance"] != pytest.approx(none["hidden_mean_distance"], rel=1e-3)
    # what the term minimises
    assert loss["hidden_mean_distance"] < none["hidden_mean_distance"]


def test_a_pool_is_compared_alike_alone_and_beside_others(compare, place):
    """Also where its cells are compared: a cell belongs to the pool of its bias."""
    both, _ = compare("pools", CELLS, ("balanced", "neutral"))
    assert [row for row in both if row["bias"] == "neutral"] == compare("both", CELLS)[0]
    assert [row for row in both if row["bias"] == "balanced"] == compare("balanced", [], ("balanced",))[0]
    means = files.read_json(place / "pools-means.json")
    assert list(means) == ["balanced", "neutral"]
    assert means["neutral"] == files.read_json(place / "both-means.json")["neutral"]
    assert {kind: set(of_kind) for kind, of_kind in means["neutral"].items()} == {
        "sentence": {"original", "augmented"},
        "hidden": {"original", "augmented"},
    }


def test_no_adapter_is_left_in_the_base(compare, card_path):
    """Neither in the base nor in the next cell's numbers."""
    both, untuned = compare("both", CELLS)
    fresh, _ = base.load_base(files.read_json(card_path))
    left, expected = untuned.state_dict(), fresh.state_dict()
    assert left.keys() == expected.keys()
    assert all(torch.equal(left[name], expected[name]) for name in expected)
    alone, _ = compare("alone", CELLS[1:])
    assert values(alone, "loss") == values(both, "loss")


def test_a_change_is_a_metric_minus_that_of_the_same_cell_without_the_mitigation(compare, place):
    rows, _ = compare("both", CELLS)
    other = [{**row, "seed": 2, "value": row["value"] + 0.5} for row in rows if row.get("mitigation") != "loss"]
    files.write_json(place / "other.json", other)
    files.write_json(place / "none.json", [])
    measure_distributions(
        [place / "both.json", place / "other.json"],
        [place / "both-points.json", place / "none.json"],
        place / "distributions.csv",
        place / "projection.csv",
    )
    table = pd.read_csv(place / "distributions.csv")
    changes = table[table["metric"].str.endswith("_change")]
    # only of the cell that has a mitigation, and against its own seed's
    assert set(changes["mitigation"]) == {"loss"} and set(changes["seed"]) == {1} and len(changes) == len(METRICS)
    none, loss = values(rows, "none"), values(rows, "loss")
    changes_by_metric = changes.set_index("metric")["value"]
    for name in METRICS:
        assert changes_by_metric[f"{name}_change"] == pytest.approx(loss[name] - none[name], abs=1e-12)
    assert changes_by_metric["hidden_mean_distance_change"] < 0
    assert changes["p"].isna().all() and len(table) == len(rows) + len(other) + len(changes)
    points = pd.read_csv(place / "projection.csv")
    assert points.groupby(["representation", "origin"]).size().tolist() == [10] * 4
