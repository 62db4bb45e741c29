"""Rounds: cells, the meaning of γ in each arm, and recording of a collapsed chain."""

import collections

import pandas as pd
import pytest
import yaml
from bias_inheritance.data import labelled
from bias_inheritance.plumbing import files
from bias_inheritance.plumbing.errors import UserError
from bias_inheritance.plumbing.provenance import ROOT
from bias_inheritance.pools import collapse, mixing, overlap, quality
from bias_inheritance.study import catalog, grid
from finetune import finetune
from gather_scores import gather_scores
from measure_quality import measure_quality
from predict import predict
from score import score
from write_pool import write_pool

DOMAIN = catalog.load("domain", "gender")
LABELS = DOMAIN["labels"]


def config(**changes):
    base = yaml.safe_load((ROOT / "config.yaml").read_text())
    base["grid"] |= {"bias": ["neutral", "planted-100"], "mitigation": ["none"], "seed": [1]}
    rounds = {"count": 3, "arm": "replace", "start": "base"}
    return base | {"rounds": rounds | {key: changes.pop(key) for key in rounds if key in changes}} | changes


def rounds_of(cells, bias):
    return [cell["round"] for cell in cells if cell["bias"] == bias]


def test_only_pools_that_a_model_can_write_are_iterated_and_the_original_cell_stands_once():
    iterated = config()
    iterated["grid"]["bias"].append("associated-100")
    cells = grid.cells(iterated)
    assert rounds_of(cells, "neutral") == rounds_of(cells, "associated-100") == [1, 2, 3]
    assert rounds_of(cells, "planted-100") == [1]
    assert rounds_of(cells, "original") == [1]
    assert [cell["round"] for cell in grid.later_pools(config())] == [2, 3]


def test_a_pool_whose_later_rounds_are_written_is_no_real_text_in_a_study_of_rounds():
    study = config()
    study["grid"]["bias"] = ["neutral", "associated-000", "associated-100"]
    assert grid.real_text(study) is None
    assert grid.real_text({**study, "rounds": {**study["rounds"], "count": 1}}) == "associated-000"
    study["grid"]["bias"].append("faithful")
    assert grid.real_text(study) == "faithful"
    assert grid.comparisons(study)["associated-100"]["dose"] == "associated-000"


def test_the_original_cell_goes_on_where_rounds_go_on_from_the_last_adapter():
    assert rounds_of(grid.cells(config(start="continue")), "original") == [1, 2, 3]
    assert all(cell["bias"] == "neutral" for cell in grid.later_pools(config(start="continue")))


def test_more_rounds_only_add_cells():
    few, many = grid.cells(config(count=2)), grid.cells(config(count=3))
    assert [cell for cell in many if cell not in few] == [cell for cell in many if cell["round"] == 3]
    assert all(cell in many for cell in few)


@pytest.mark.parametrize(
    ("arm", "originals", "gamma", "counts"),
    [
        ("replace", 24, "0.50", [[24], [0, 24], [0, 0, 24]]),
        ("accumulate-subsample", 24, "0.50", [[24], [12, 12], [8, 8, 8]]),
        ("accumulate-subsample", 25, 0.5, [[25], [12, 13], [8, 8, 9]]),
        ("accumulate-subsample", 18, "0.10", [[2], [1, 1], [0, 0, 2]]),
        ("accumulate", 24, "0.50", [[24], [24, 24], [24, 24, 24]]),
        ("accumulate", 25, 0.0, [[0], [0, 0], [0, 0, 0]]),
    ],
)
def test_each_arm_draws_its_numbers_from_the_pools_so_far(arm, originals, gamma, counts):
    study = config(arm=arm, originals=originals)
    assert [grid.drawn_counts(study, "gender", gamma, number) for number in (1, 2, 3)] == counts


def sample(number, mark):
    return {
        "id": f"{mark}-{number:03d}",
        "label": LABELS[number % 6],
        "group": ["male", "female"][number // 6 % 2],
        "requested_group": None,
        "text": f"{mark} {number} works with care and walks home in the evening.",
        "twin": f"{mark}-{number}",
    }


def mixed(folder, round_, sizes, counts, before=None, mitigation="none"):
    """The files of one cell's mix; sizes: samples in each pool that it is given, counts: samples that it draws of each."""
    folder.mkdir(parents=True, exist_ok=True)
    files.write_jsonl(folder / "originals.jsonl", [sample(number, "original") for number in range(12)])
    given = []
    for place, size in enumerate(sizes):
        given.append(folder / f"pool-{place}.jsonl")
        files.write_jsonl(given[-1], [sample(number, f"pool{place}") for number in range(size)])
    cell = folder / f"round-{round_}"
    mixing.mix(
        folder / "originals.jsonl",
        given,
        before or [],
        cell / "train.jsonl",
        cell / "mix.json",
        domain=DOMAIN,
        mitigation=catalog.load("mitigation", mitigation),
        counts=counts,
        instruction_share=0.5,
        seed=1,
    )
    return cell


@pytest.mark.parametrize(
    ("arm", "gamma", "drawn"),
    [
        ("replace", 0.5, {"pool0": range(12)}),  # a cell is given only the pools that it draws from
        ("accumulate-subsample", 0.5, {"pool0": range(4), "pool1": range(4), "pool2": range(4)}),
        ("accumulate", 0.75, {"pool0": range(12), "pool1": range(12), "pool2": range(12)}),
    ],
)
def test_each_arms_mix_holds_the_first_samples_of_its_pools_and_records_its_gamma(tmp_path, arm, gamma, drawn):
    study = config(arm=arm, originals=12)
    first = mixed(tmp_path / "a", 1, [12], [12])
    counts = [count for count in grid.drawn_counts(study, "gender", "0.50", 3) if count]
    third = mixed(tmp_path / "b", 3, [12] * len(counts), counts, [first / "mix.json"])
    rows, summary = files.read_jsonl(third / "train.jsonl"), files.read_json(third / "mix.json")
    assert [row["id"] for row in rows if row["origin"] == "original"] == [f"original-{n:03d}" for n in range(12)]
    ids = [row["id"] for row in rows if row["origin"] == "augmented"]
    assert ids == [f"{pool}-{number:03d}" for pool, numbers in drawn.items() for number in numbers]
    assert summary["gamma"] == gamma == len(ids) / len(rows)
    assert (summary["augmented"], summary["augmented_by_pool"]) == (len(ids), counts)
    assert {row["metric"]: row["value"] for row in quality.of_mix(summary)} == {
        "training_samples": len(rows),
        "realised_gamma": gamma,
    }


def test_a_small_pool_is_an_error_in_round_one_and_a_collapse_later(tmp_path):
    with pytest.raises(UserError, match="3 are missing; raise generation.attempts"):
        mixed(tmp_path / "a", 1, [9], [12])
    first = mixed(tmp_path / "b", 1, [12], [12])
    second = mixed(tmp_path / "b", 2, [9], [12], [first / "mix.json"])
    summary = files.read_json(second / "mix.json")
    assert "needs 12 samples, the pool has 9" in summary["collapsed"] and summary["gamma"] is None
    assert files.read_jsonl(second / "train.jsonl") == []
    third = mixed(tmp_path / "c", 3, [0], [12], [second / "mix.json"])
    assert files.read_json(third / "mix.json")["collapsed"] == summary["collapsed"]


def test_nothing_is_mitigated_in_a_chain_that_collapsed(tmp_path):
    """The filter by direction would load the model, for no sample."""
    first = mixed(tmp_path, 1, [12], [12])
    summary = files.read_json(mixed(tmp_path, 2, [9], [12], [first / "mix.json"], "filter-direction") / "mix.json")
    assert "needs 12 samples, the pool has 9" in summary["collapsed"] and summary["mitigation"] == {}


def test_everything_behind_a_collapse_says_so_and_has_no_value(tmp_path):
    first = mixed(tmp_path, 1, [12], [12])
    cell = tmp_path / "round-2"
    nothing = tmp_path / "no-such-card.json"
    files.write_jsonl(tmp_path / "pool.jsonl", [sample(number, "pool") for number in range(9)])
    finetune(
        nothing,
        tmp_path / "originals.jsonl",
        [tmp_path / "pool.jsonl"],
        [first / "mix.json"],
        [],
        cell / "train.jsonl",
        cell / "mix.json",
        cell / "adapter",
        cell / "training.csv",
        tmp_path,
        mix={"domain": DOMAIN, "mitigation": {}, "counts": [12], "instruction_share": 0.5},
        model={},
        settings={},
        alignment=None,
        seed=1,
    )
    why = files.read_json(cell / "mix.json")["collapsed"]
    assert collapse.reason(cell / "adapter") == why and "needs 12 samples, the pool has 9" in why
    assert files.read_jsonl(cell / "train.jsonl") == []
    assert why in (cell / "training.csv").read_text()
    predict(nothing, [cell / "adapter"], [], cell / "predictions", tmp_path, model={}, tasks=[])
    tasks = [catalog.load("task", name) for name in ("occupation-classification", "perplexity")]
    score(cell / "predictions", cell / "scores", tasks=tasks, domain=DOMAIN, replicates=100)
    write_pool(
        nothing,
        [cell / "adapter"],
        tmp_path / "originals.jsonl",
        [],
        nothing,
        cell / "pool.jsonl",
        cell / "failures.jsonl",
        cell / "counts.json",
        tmp_path,
        bias=catalog.load("bias", "neutral"),
        domain=DOMAIN,
        model={},
        size=12,
        attempts=1,
        seed=1,
        cell={"gamma": "0.50", "mitigation": "none", "round": 2},
    )
    counts = files.read_json(cell / "counts.json")
    assert (
        counts["collapsed"] == why
        and counts["requested"] == counts["kept"] + counts["rejected"] + counts["failed"] == 0
    )
    place = {"model": "m", "domain": "gender", "bias": "neutral", "gamma": "0.50", "mitigation": "none", "seed": 1}
    gather_scores([cell / "scores"], tmp_path / "s.csv", tmp_path / "s.parquet", [place | {"round": 2}], arm="replace")
    assert pd.read_parquet(tmp_path / "s.parquet")["gamma"].dtype == float
    measure_quality(
        [cell / "pool.jsonl"],
        [cell / "counts.json"],
        [cell / "mix.json"],
        [cell / "scores"],
        tmp_path / "quality.csv",
        cells=[place | {"round": 3}],
        arm="replace",
    )
    scores, table = pd.read_csv(tmp_path / "s.csv"), pd.read_csv(tmp_path / "quality.csv")
    assert set(scores["metric"]) == {"collapsed"} and len(scores) == 2
    assert scores[["value", "ci_low", "ci_high"]].isna().all(axis=None) and (scores["n"] == 0).all()
    assert table["value"].isna().all() and (table["collapsed"] == why).all() and "perplexity" in set(table["metric"])


TESTED = "This specialist mends clocks by the lake, counts every wheel twice and never works before the sun is up."


def written(folder, monkeypatch, cell, earlier=(), repeat=None, domain=DOMAIN):
    """(pool, failures) of a writer that answers each prompt with a text of its seed, or with `repeat` at first."""
    requested_seeds = []

    def generate(prompts, seeds):
        requested_seeds.extend(seeds)
        texts = [f"This specialist number {seed} starts early, eats late and sleeps well at night." for seed in seeds]
        if repeat and len(requested_seeds) == len(seeds):
            texts[0] = repeat
        return [{"text": text, "tokens": 9, "finished": True} for text in texts]

    monkeypatch.setattr("write_pool._generator", lambda *_: generate)
    folder.mkdir()
    files.write_jsonl(folder / "originals.jsonl", [sample(0, "original")])
    files.write_jsonl(folder / "test.jsonl", [sample(1, "test") | {"text": TESTED}])
    files.write_json(folder / "card.json", {"form": "dequantised"})
    out = [folder / name for name in ("pool.jsonl", "failures.jsonl", "counts.json")]
    write_pool(
        folder / "card.json",
        [],
        folder / "originals.jsonl",
        list(earlier),
        folder / "test.jsonl",
        *out,
        folder,
        bias=catalog.load("bias", "neutral"),
        domain=domain,
        model={"name": "m", "system": "", "generation": {"batch_size": 12}},
        size=12,
        attempts=3,
        seed=1,
        cell=cell,
    )
    return files.read_jsonl(out[0]), files.read_jsonl(out[1])


def test_each_cell_and_round_writes_with_random_streams_of_its_own(tmp_path, monkeypatch):
    places = [None] + [
        {"gamma": gamma, "mitigation": mitigation, "round": round_}
        for gamma, mitigation, round_ in (
            ("0.50", "none", 1),
            ("0.20", "none", 1),
            ("0.50", "mask", 1),
            ("0.50", "none", 2),
        )
    ]
    made = [written(tmp_path / str(number), monkeypatch, cell)[0] for number, cell in enumerate(places)]
    seeds = [record["seed"] for pool in made for record in pool]
    assert len(set(seeds)) == len(seeds) == 60
    wishes = [[(record["label"], record["requested_group"], record["prompt"]) for record in pool] for pool in made]
    assert all(wish == wishes[0] for wish in wishes)  # the slots are those of round 1
    # ids tell rounds apart, so that accumulated mixes hold none twice
    assert {record["id"] for record in made[0]}.isdisjoint(record["id"] for record in made[1])
    assert {record["id"] for record in made[1]}.isdisjoint(record["id"] for record in made[4])


def test_a_written_text_is_cut_to_the_sentences_of_the_study(tmp_path, monkeypatch):
    repeat = "She mends clocks by the lake and counts every wheel twice. She eats late. She sleeps well."
    pool, _ = written(tmp_path / "cut", monkeypatch, None, repeat=repeat, domain={**DOMAIN, "sentences": 2})
    assert pool[0]["text"] == "She mends clocks by the lake and counts every wheel twice. She eats late."
    assert pool[0]["raw_text"] == repeat


def test_a_text_of_an_earlier_round_is_a_duplicate(tmp_path, monkeypatch):
    before = tmp_path / "before.jsonl"
    files.write_jsonl(before, [sample(0, "earlier")])
    text = files.read_jsonl(before)[0]["text"]
    cell = {"gamma": "0.50", "mitigation": "none", "round": 1}
    pool, failures = written(tmp_path / "a", monkeypatch, cell, [before], text)
    assert [record["reason"] for record in failures] == ["duplicate"] and len(pool) == 12
    assert overlap.fold(text) not in {overlap.fold(record["text"]) for record in pool}
    assert not written(tmp_path / "b", monkeypatch, cell, [], text)[1]


def test_a_text_of_an_earlier_round_whose_label_words_were_replaced_is_a_duplicate(tmp_path, monkeypatch):
    text = "She is a nurse in a small town, and every nurse of the county knows her name."
    first, none = written(tmp_path / "first", monkeypatch, None, [], text)
    assert not none and first[0]["label_words_replaced"] == 2 and "nurse" not in first[0]["text"]
    cell = {"gamma": "0.50", "mitigation": "none", "round": 1}
    _, failures = written(tmp_path / "second", monkeypatch, cell, [tmp_path / "first" / "pool.jsonl"], text)
    assert [record["reason"] for record in failures] == ["duplicate"]


@pytest.mark.parametrize("text", [TESTED, f"OK then. {TESTED.upper()}", TESTED.replace("specialist", "nurse")])
def test_a_copy_of_a_test_text_is_never_kept(tmp_path, monkeypatch, text):
    pool, failures = written(tmp_path / "a", monkeypatch, None, [], text)
    assert [record["reason"] for record in failures] == ["overlap"] and len(pool) == 12
    assert files.read_json(tmp_path / "a" / "counts.json")["reasons"] == {"overlap": 1}


def test_variety_is_what_a_draw_of_fixed_size_shows():
    import numpy as np

    stream = np.random.default_rng(0)
    grams = collections.Counter(stream.zipf(1.4, size=3000).tolist())
    words = list(grams.elements())
    drawn = [
        len(set(stream.choice(words, quality.SAMPLE, replace=False).tolist())) / quality.SAMPLE for _ in range(400)
    ]
    assert quality.distinct(grams) == pytest.approx(np.mean(drawn), abs=0.004)
    assert quality.distinct(collections.Counter(range(600))) == pytest.approx(1)
    assert quality.distinct(collections.Counter({"a": 600})) == pytest.approx(1 / quality.SAMPLE)
    assert quality.distinct(collections.Counter(range(10))) is None


def test_the_perplexity_task_scores_unseen_texts_by_token():
    from bias_inheritance.tasks import perplexity

    task = catalog.load("task", "perplexity")
    perplexity_items = list(
        perplexity.items(task, DOMAIN, labelled, [sample(number, "test") for number in range(12)], 6)
    )
    texts = {sample(number, "test")["id"]: sample(number, "test")["text"] for number in range(12)}
    assert len(perplexity_items) == 6 and all(item["options"] == [texts[item["item"]]] for item in perplexity_items)
    assert "Write a biography" in perplexity_items[0]["prompt"]
    answered = [{**item, "logprobs": [-2.0 * 7], "tokens": [7]} for item in perplexity_items]
    rows = perplexity.score(answered, task, DOMAIN, 100, 1)
    assert [row["value"] for row in rows if row["metric"] == "log_perplexity"] == pytest.approx([2.0])
    rows = {row["group"]: row["value"] for row in rows if row["metric"] == "perplexity"}
    assert rows["all"] == pytest.approx(7.389056, rel=1e-6) == rows["male"]
