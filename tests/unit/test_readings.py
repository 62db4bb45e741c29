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
    return {cell[2:] for cell in grid.claim_readings(config)[claim]["cells"]}


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
    assert not any(reading["cells"] for reading in grid.claim_readings(config).values())
    config = study(bias=["neutral"], gamma=[0, 0.5], task=["occupation-classification", "salary"])
    assert read(config, "C3") == set()
    config["rounds"]["count"] = 2
    assert read(config, "C3") == {("neutral", "0.50", "none"), ("original", "0.00", "none")}


def test_pools_that_only_a_table_of_pools_reads_are_kept_without_cells():
    config = study(domain=["culture-spanish"], bias=["contrastive-explicit", "faithful", "shifted"], gamma=[0, 0.5])
    config |= {"misalignment": ["distributions"], "claimed_only": True}
    config["grid"]["task"] = ["hate-speech", "hiring", "stance"]
    assert {cell["bias"] for cell in grid.cells(config)} == {"untuned", "original", "contrastive-explicit"}
    assert {pool["bias"] for pool in grid.pools(config)} == {"contrastive-explicit", "faithful"}
    assert grid.tasks_of(config, "culture-spanish") == ["hate-speech", "hiring", "stance"]
