"""The model that writes a pool may be another one than the student that is trained on it."""

import pandas as pd
import pytest
import yaml
from bias_inheritance.plumbing.errors import UserError
from bias_inheritance.report import context, facts
from bias_inheritance.study import checks, costs, grid

EMBEDDED, TINY, SERVED = "smollm2-135m-instruct", "tiny-random", "gpt-4o-mini"


@pytest.fixture
def config(root):
    return yaml.safe_load((root / "config.yaml").read_text())


def with_models(config, models, writers):
    return config | {"grid": config["grid"] | {"model": models, "writer": writers}}


def test_by_default_each_model_reads_its_own_pools(config):
    two = with_models(config, [EMBEDDED, TINY], ["student"])
    assert grid.students(two) == grid.models(two) == [EMBEDDED, TINY]
    assert grid.once(grid.cells(two)) == grid.cells(two) and grid.once(grid.pools(two)) == grid.pools(two)


def test_a_student_is_named_with_its_writer_where_that_is_another_model(config):
    two = with_models(config, [EMBEDDED, TINY], [EMBEDDED])
    assert grid.students(two) == [EMBEDDED, f"{TINY}@{EMBEDDED}"]
    both = with_models(config, [TINY], ["student", EMBEDDED, TINY])
    assert grid.students(both) == [TINY, f"{TINY}@{EMBEDDED}"]
    assert grid.models(both) == [TINY, EMBEDDED]
    assert (grid.model_of(f"{TINY}@{EMBEDDED}"), grid.writer_of(f"{TINY}@{EMBEDDED}")) == (TINY, EMBEDDED)


def test_a_pool_is_stored_once_per_writer_and_originals_once_per_model(config):
    two = with_models(config, [EMBEDDED, TINY], [EMBEDDED])
    single = with_models(config, [EMBEDDED], ["student"])
    assert len(grid.pools(two)) == 2 * len(grid.pools(single))
    assert grid.once(grid.pools(two)) == grid.pools(single)
    read = with_models(config, [TINY], ["student", EMBEDDED])
    stored = [cell for cell in grid.once(grid.cells(read)) if cell["bias"] in ("untuned", "original")]
    assert {cell["model"] for cell in stored} == {TINY}
    assert len(stored) == 1 + len(config["grid"]["seed"])


def test_costs_count_what_students_share_once(config):
    single = with_models(config, [TINY], ["student"])
    both = with_models(config, [TINY], ["student", EMBEDDED])
    (one,), (two,) = ([row for row in costs.computing(each) if row["part"] == "study"] for each in (single, both))
    assert two["trainings"] == 2 * one["trainings"] - len(config["grid"]["seed"])  # `original` is shared


def test_a_served_writer_of_a_local_student_is_budgeted_and_asked_for_pools_alone(config):
    served = with_models(config, [TINY], [SERVED])
    assert grid.students(served) == [f"{TINY}@{SERVED}"]
    (line,) = costs.estimate(served)
    slots = sum(pool["bias"] in ("contrastive-explicit", "balanced", "neutral") for pool in grid.pools(served)) * 24
    assert line.startswith(f"{SERVED}: at most about {slots:,} requests") and "0.00 million tokens of training" in line
    with pytest.raises(UserError, match=f"max_cost_usd: 0 leaves no budget for {SERVED}"):
        checks.check(served, [("config.yaml", served)])
    checks.check(served | {"max_cost_usd": 5}, [("config.yaml", served)])


@pytest.mark.parametrize(
    ("models", "writers", "expected"),
    [
        (
            [TINY],
            ["smollm2-135m-instuct"],
            r"grid.writer\[0\]: no file catalog/models/smollm2-135m-instuct.yaml \(did you mean '" + EMBEDDED,
        ),
        ([TINY], [], "grid.writer: 0 entries are too few"),
        (
            ["local-server"],
            [TINY],
            r"grid.model\[0\]: local-server cannot be fine-tuned, so it cannot read pools of " + TINY,
        ),
    ],
)
def test_writers_are_checked_at_the_start(config, models, writers, expected):
    wrong = with_models(config, models, writers) | {"max_cost_usd": 5}
    with pytest.raises(UserError, match=expected):
        checks.check(wrong, [("config.yaml", wrong)])


def test_the_report_shows_a_pool_once_for_all_students():
    place = {"domain": "gender", "bias": "neutral", "seed": 1, "requested": 10, "kept": 8, "rejected": 1, "failed": 1}
    counts = pd.DataFrame([place | {"model": model} for model in (TINY, f"{EMBEDDED}@{TINY}", EMBEDDED)])
    written = facts.of_writers(counts.assign(row=range(1, 4)))
    assert written[["model", "row"]].to_numpy().tolist() == [[TINY, 1], [EMBEDDED, 3]]
    assert context.kept_texts(written).startswith("16 of 20 requested texts were kept. In every pool")


def test_claims_of_a_student_count_the_cells_and_pools_that_it_reads(config):
    trainings = [
        {row["name"]: row["trainings"] for row in costs.computing(with_models(config, [TINY], [writer])) if row["part"] == "claim"}
        for writer in ("student", EMBEDDED)
    ]  # fmt: skip
    assert trainings[0] == trainings[1] and any(trainings[0].values())


def test_a_pool_is_compared_once_per_student_and_its_writer_has_the_cost(config):
    compared = config | {"misalignment": ["distributions"]}
    hours = []
    for models in ([EMBEDDED], [EMBEDDED, TINY]):
        two = with_models(compared, models, [EMBEDDED])
        assert len(grid.compared_pools(two)) == len(models) * len(grid.once(grid.pools(two)))
        (row,) = (row for row in costs.computing(two) if row["part"] == "study")
        (plain,) = (row for row in costs.computing(two | {"misalignment": []}) if row["part"] == "study")
        hours.append(row["hours"] - plain["hours"])
    assert hours[1] == pytest.approx(2 * hours[0])
