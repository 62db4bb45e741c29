"""What a finished study promised is held against its files, and the file that breaks it is named."""

import copy
import csv

import pytest
from bias_inheritance.plumbing import files
from bias_inheritance.plumbing.errors import UserError
from check_results import check_results

AXES = {"model": "m", "domain": "d", "mitigation": "none", "seed": 1}
CELLS = [
    {**AXES, "bias": bias, "gamma": gamma, "round": round_}
    for bias, gamma, round_ in [
        ("untuned", "0.00", 0),
        ("original", "0.00", 1),
        ("neutral", "0.20", 1),
        ("neutral", "0.20", 2),
    ]
]
TASKS = ["classify", "hire"]
ASKED = [{"domain": "d", "task": task} for task in TASKS]
BENCHMARK = "I met a Ruritanian and a Freedonian at the ferry, and both asked me for the way to the opera."
SHORT = "Great! Love it."
TESTED = "The lighthouse keeper mends clocks by the lake and counts every wheel twice before the sun is up."


def row(origin, number, label="nurse", group="male", text="Somebody lives here."):
    """A training row."""
    name = f"{origin[0]}-{number:05d}"
    return {"id": name, "origin": origin, "cluster": name, "slot": number, "label": label, "group": group,
            "user": f"{text} This is number {number} of {origin}.", "assistant": label, "text": text}  # fmt: skip


ORIGINALS = [row("original", number) for number in range(10)]
ADDED = [row("augmented", 0), row("augmented", 1, "painter", "female"), row("augmented", 2, "nurse", "female")]
TRAINS = [ORIGINALS, ORIGINALS + ADDED, []]  # 2.5, rounded
UNASKED = "An old man who paints the harbour each morning gives the pictures away to whoever passes by in the rain."
EVEN = {"d": {"neutral": {"label": 2, "group": 2}}}
SCORES = [[*cell.values(), place["task"]] for cell in CELLS for place in ASKED]


def check(folder, trains=TRAINS, scores=SCORES, cells=CELLS, accumulated=False, notes=({}, {}, {})):
    paths = {"scores": folder / "scores.csv", "questions": [folder / "classify.jsonl", folder / "hire.jsonl"]}
    with open(paths["scores"], "w", newline="") as file:
        csv.writer(file).writerows([[*cells[0], "task"], *scores])
    for path in paths["questions"]:
        files.write_jsonl(path, [{"cluster": f"{path.stem}-1"}, {"cluster": f"{path.stem}-2"}])
    hired = {"cluster": "hire-3", "item": "bbq-7", "texts": ["It rained on all of them in that week.", BENCHMARK]}
    files.write_jsonl(paths["questions"][1], [*files.read_jsonl(paths["questions"][1]), hired])
    paths["tests"] = [folder / "test.jsonl"]
    twins = (
        ("classify-1", "male", TESTED),
        ("unasked", "female", UNASKED),
        ("unasked", "male", UNASKED),
        ("classify-2", "male", SHORT),
    )
    tested = [
        {"id": f"t-{number}", "twin": twin, "group": group, "text": text}
        for number, (twin, group, text) in enumerate(twins, start=1)
    ]
    files.write_jsonl(paths["tests"][0], tested)
    paths["trains"] = [folder / f"train-{number}.jsonl" for number in range(len(trains))]
    for path, rows in zip(paths["trains"], trains, strict=True):
        files.write_jsonl(path, rows)
    paths["summaries"] = [folder / f"mix-{number}.json" for number in range(len(trains))]
    for path, note in zip(paths["summaries"], notes, strict=True):
        files.write_json(path, {"mitigation": note})
    settings = {"posed": ASKED, "originals": {"d": 10}, "even": EVEN, "accumulated": accumulated}
    check_results(**paths, checks=folder / "checks.csv", cells=cells, tasks=[TASKS] * len(cells), **settings)
    with open(folder / "checks.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_a_sound_study_is_told_what_was_looked_at(tmp_path):
    gamma, overlap, balance, twins, cells = check(tmp_path)
    assert gamma["checked"] == "3 mixes, 1 of them collapsed"
    assert "(at most 0.0308)" in gamma["result"]  # 3 of 13 where 0.20 was asked for
    assert overlap["checked"].endswith("5 test clusters, 13 training texts against 4 test texts")
    assert twins["checked"] == "3 test texts of d" and twins["result"].startswith(
        "1 have a counterfactual twin in another group; 2 are"
    )
    assert "(at most 0 in a mix)" in balance["result"] and cells["checked"] == "4 cells"


def test_a_filter_without_enough_spare_samples_is_reported(tmp_path):
    cells = [{**cell, "mitigation": "filter"} if cell["bias"] == "neutral" else cell for cell in CELLS]
    scores = [[*cell.values(), place["task"]] for cell in cells for place in ASKED]
    for replaced, added_text in ((2, "generation.spare adds some"), (6, "were replaced")):
        notes = {}, {"filter": {"replaced": replaced, "due": 6}}, {"filter": {"replaced": 3, "due": 3}}
        (row,) = [row for row in check(tmp_path, cells=cells, scores=scores, notes=notes) if row["check"] == "filter"]
        assert row["checked"] == "2 mixes with filter"
        assert row["result"].startswith(f"{replaced + 3} of the 9 ") and added_text in row["result"]
        assert ("spare" in row["result"]) == (replaced < 6)


def added(rows):
    rows[1].append(row("augmented", 3, "painter", "male"))


def lost(rows):
    rows[0].pop()


def leaked(rows):
    rows[1][11]["cluster"] = "classify-2"


def copied(rows):
    rows[1][12]["user"] = f"It is so. {TESTED.upper().replace(',', ' –')}"


def copied_in_part(rows):
    rows[0][3]["assistant"] = " ".join(TESTED.split()[:14])


def copied_whole(rows):
    rows[1][12] |= {"user": f"Review: {SHORT.upper()} What is it?", "text": SHORT.upper()}


def copied_from_a_benchmark(rows):
    rows[1][12]["user"] = f"Once {BENCHMARK.lower()} I did not know it."


def one_sided(rows):
    rows[1][11] |= {"label": "nurse", "group": "male"}


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (copied, r"train-1.jsonl, row 13: a-00002 repeats the test text t-1 of .*test.jsonl; .* --forcerun write_pool"),
        (copied_in_part, r"train-0.jsonl, row 4: o-00003 repeats the test text t-1"),
        (copied_whole, r"train-1.jsonl, row 13: a-00002 repeats the test text t-4"),
        (
            copied_from_a_benchmark,
            r"train-1.jsonl, row 13: a-00002 repeats the test text bbq-7 of .*hire.jsonl; remove a-00002 from the data, or the task hire from grid.task",
        ),
        (one_sided, r"train-1.jsonl: has 2 samples of nurse and male but 0 of another kind, with 0 failed slots"),
        (added, r"train-1.jsonl: has 10 originals and 4 augmented samples; γ 0.20 of 10 originals needs 2.5"),
        (lost, r"train-0.jsonl: has 9 originals and 0 augmented"),
        (leaked, r"train-1.jsonl: trains on classify-2, a test item of .*classify.jsonl; fix"),
    ],
)
def test_a_mix_that_breaks_its_promise_is_named(tmp_path, fault, told):
    trains = copy.deepcopy(TRAINS)
    fault(trains)
    with pytest.raises(UserError, match=told):
        check(tmp_path, trains)


def test_a_mix_that_accumulates_holds_as_many_samples_of_every_round(tmp_path):
    newest = [{**sample, "id": f"r2-{sample['id']}"} for sample in ADDED]
    trains = [ORIGINALS, ORIGINALS + ADDED, ORIGINALS + ADDED + newest]
    gamma = check(tmp_path, trains, accumulated=True)[0]
    assert (
        gamma["checked"] == "3 mixes" and "(at most 0.0417)" in gamma["result"]
    )  # 6 of 16 where 5 of 15 were asked for
    with pytest.raises(UserError, match=r"train-2.jsonl: has 10 originals and 3 augmented samples; .* needs 5.0"):
        check(tmp_path, [ORIGINALS, ORIGINALS + ADDED, ORIGINALS + newest], accumulated=True)
    with pytest.raises(UserError, match=r"train-2.jsonl: has 10 originals and 6 augmented samples; .* needs 2.5"):
        check(tmp_path, trains)


def test_a_failed_slot_leaves_the_balance_off_by_one_more_and_is_counted(tmp_path):
    trains = copy.deepcopy(TRAINS)
    one_sided(trains)
    trains[1][12]["slot"] = 3
    assert "(at most 1 in a mix)" in check(tmp_path, trains)[2]["result"]


def test_a_text_that_no_task_asks_about_and_a_turn_of_phrase_are_no_overlap(tmp_path):
    trains = copy.deepcopy(TRAINS)
    trains[1][12]["user"] = UNASKED
    trains[1][10]["user"] = f"I say it again. {SHORT} I really do."
    trains[1][11]["user"] = "Nobody counts every wheel twice before the sun is up, she says, and she should know."
    check(tmp_path, trains)


def test_an_empty_mix_of_round_1_did_not_collapse(tmp_path):
    with pytest.raises(UserError, match="train-1.jsonl: has 0 originals"):
        check(tmp_path, [ORIGINALS, [], []])


def test_a_cell_without_a_score_or_with_one_too_many_is_named(tmp_path):
    with pytest.raises(UserError, match=r"scores.csv: lacks m/d/none/1/neutral/0.20/2/hire; run"):
        check(tmp_path, scores=SCORES[:-1])
    with pytest.raises(UserError, match=r"scores.csv: should not have m/d/none/1/untuned/0.00/0/sing; run"):
        check(tmp_path, scores=[*SCORES, [*CELLS[0].values(), "sing"]])
