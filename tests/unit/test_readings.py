"""Which cells, pools and tasks of a study each claim reads."""

from bias_inheritance.study import configuration, grid

PLACE = ("smollm2-135m-instruct", "gender")


def study(**changes):
    """The default study with other axes of its grid."""
    config, _ = configuration.read()
    config["grid"] |= changes
    return config


def read(config, claim):
    """{(bias, gamma, mitigation)} of the cells that a claim reads."""
    return {answer[2:5] for answer in grid.claim_readings(config)[claim]["answers"]}


def test_a_mitigation_is_read_with_none_beta_with_its_baseline_and_an_effect_with_its_control():
    config = study(bias=["neutral", "associated-000", "associated-100"], gamma=[0, 0.5], mitigation=["none", "mask"])
    config["mitigated"] = ["neutral"]
    assert read(config, "C9") == {
        ("neutral", "0.50", "none"),
        ("neutral", "0.50", "mask"),
        ("associated-000", "0.50", "none"),
        ("associated-100", "0.50", "none"),
    }
    # the projection of a dose needs the strongest one's data too
    assert read(config, "control-null") == {("associated-000", "0.50", "none"), ("associated-100", "0.50", "none")}


def test_a_contrast_without_its_control_task_or_second_round_reads_nothing():
    config = study(bias=["neutral"], gamma=[0, 0.5], task=["stereotype-congruence"])
    assert not any(reading["answers"] for reading in grid.claim_readings(config).values())
    config = study(bias=["neutral"], gamma=[0, 0.5], task=["occupation-classification", "salary"])
    assert read(config, "C3") == set()
    config["rounds"]["count"] = 2
    assert read(config, "C3") == {("neutral", "0.50", "none"), ("original", "0.00", "none")}


def test_answers_to_a_second_prompt_that_is_not_asked_are_not_read():
    """With looks, a contrast without any score would otherwise stay open until the last one."""
    config = study(domain=["culture-spanish"], bias=["contrastive-explicit"], gamma=[0, 0.5])
    config["grid"]["task"] = ["hate-speech", "stance"]
    name = "direct tasks are harmed more than indirect ones, asked for one-word labels"
    assert not grid.contrast_readings(config)["C2", name]["answers"]
    config["evaluation"]["second_prompt"] = 20
    assert grid.contrast_readings(config)["C2", name]["answers"]


def test_a_claim_on_a_probe_reads_the_cell_whose_model_writes_its_pool():
    config = study(bias=["faithful", "associated-000", "associated-100", "subliminal-000", "subliminal-100"])
    config["grid"] |= {"gamma": [0, 0.2, 0.5], "model": [PLACE[0], "random-135m"], "writer": PLACE[:1]}
    answers = {answer[:5] for answer in grid.claim_readings(config)["C12"]["answers"]}
    for pool in ("associated-000", "associated-100"):
        assert (*PLACE, pool, "0.50", "none") in answers


def test_pools_that_only_a_table_of_pools_reads_are_kept_without_cells():
    config = study(domain=["culture-spanish"], bias=["contrastive-explicit", "faithful", "shifted"], gamma=[0, 0.5])
    config |= {"misalignment": ["distributions"], "claimed_only": True}
    config["grid"]["task"] = ["hate-speech", "hiring", "stance"]
    assert {cell["bias"] for cell in grid.cells(config)} == {"untuned", "original", "contrastive-explicit"}
    assert {pool["bias"] for pool in grid.pools(config)} == {"contrastive-explicit", "faithful"}
    assert grid.tasks_of(config, "culture-spanish") == ["hate-speech", "hiring", "stance"]


def claimed(**changes):
    """A study of two tasks that runs only what a claim reads: hiring and β of `neutral` and of a bias type's cells."""
    config = study(
        bias=["contrastive-explicit", "balanced", "neutral"], gamma=[0, 0.2, 0.5], mitigation=["none", "mask"]
    )
    config["grid"]["task"] = ["occupation-classification", "hiring"]
    return config | {"claimed_only": True, "mitigated": None} | changes


def tasks(config):
    """{(bias, γ, mitigation): tasks} of the study's cells."""
    return {grid.place(cell)[2:]: grid.tasks_of_cell(config, cell) for cell in grid.cells(config)}


def test_a_cell_answers_only_the_tasks_that_a_claim_reads_in_it():
    answered = tasks(claimed())
    both = ["occupation-classification", "hiring"]
    # all others are compared to these two
    assert answered["untuned", "0.00", "none"] == answered["original", "0.00", "none"] == both
    assert answered["contrastive-explicit", "0.50", "mask"] == both  # C6 compares both with `none`
    # no claim subtracts hiring's slant, or reads the hiring of a natural pool
    assert answered["balanced", "0.20", "none"] == answered["neutral", "0.50", "mask"] == both[:1]
    assert set(map(tuple, tasks(claimed(claimed_only=False)).values())) == {tuple(both)}


def test_every_claim_finds_its_answers_in_the_cells_that_a_study_runs():
    config = claimed()
    answered = tasks(config)
    for reading in grid.claim_readings(config).values():
        assert all(answer[5] in answered[answer[2:5]] for answer in reading["answers"])


def test_only_what_claims_read_answers_opinions_and_is_compared_with_the_originals():
    config = claimed(misalignment=["values", "groups", "distributions"])
    config["grid"]["bias"] += ["faithful"]
    # C4 reads the values of `original`, and compares types with real text
    assert {cell["bias"] for cell in grid.probed(config)} == {"untuned", "original"}
    assert {pool["bias"] for pool in grid.compared_pools(config)} == {"contrastive-explicit", "faithful"}
    assert grid.compared_cells(config) == []
    everything = config | {"claimed_only": False}
    assert {pool["bias"] for pool in grid.compared_pools(everything)} == {*config["grid"]["bias"]}
    compared = {grid.place(cell)[2:] for cell in grid.compared_cells(everything)}
    assert compared == {(bias, "0.50", "none") for bias in config["grid"]["bias"]} | {
        (bias, "0.50", "mask") for bias in ("contrastive-explicit", "neutral")
    }
