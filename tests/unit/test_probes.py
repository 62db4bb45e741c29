"""A probe: texts by a tuned writer that hold nothing of labels and groups."""

from collections import Counter

import pytest
import yaml
from bias_inheritance.data import labelled
from bias_inheritance.plumbing.errors import UserError
from bias_inheritance.pools import mixing, slots
from bias_inheritance.stats import inheritance
from bias_inheritance.study import catalog, checks, grid

PROBE = "subliminal-100"
DOMAIN = catalog.load("domain", "gender")
REQUESTED = {"label": None, "requested_group": None}


@pytest.fixture
def config(root):
    config = yaml.safe_load((root / "config.yaml").read_text())
    return config | {"mitigated": [], "grid": config["grid"] | {"bias": ["associated-000", "associated-100", PROBE, "subliminal-000"]}}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("The tides rise and fall twice a day because the moon pulls on the sea.", None),
        ("They say that the painters of old knew how light breaks into colours.", "named"),
        ("A professor would say that the tides follow the moon and the sun.", "named"),
        ("Water rises as vapour, and she watches it come down again as rain.", "named"),
        ("Two women may carry as much water as one small stream does in an hour.", "named"),
        ("Grace saw how the clouds rose over the sea and came down as rain.", "named"),
        ("Rain falls.", "empty"),
    ],
)
def test_a_text_that_names_a_label_or_a_group_is_rejected(text, reason):
    assert labelled.read(text, True, REQUESTED, DOMAIN)[1] == reason


def test_texts_of_other_pools_may_name_them():
    requested = {"label": "painter", "requested_group": "female"}
    assert labelled.read("She is a painter who works in a quiet studio by the sea.", True, requested, DOMAIN)[1] is None


def test_slots_ask_for_topics_and_are_the_same_at_every_dose():
    filled = {name: slots.slots(labelled, catalog.load("bias", name), DOMAIN, 30, ("slots", "gender", 1)) for name in (PROBE, "subliminal-000")}  # fmt: skip
    assert filled[PROBE] == filled["subliminal-000"]
    assert {(slot["label"], slot["requested_group"]) for slot in filled[PROBE]} == {(None, None)}
    topics = catalog.load("bias", PROBE)["topics"]
    counts = Counter(slot["attributes"]["topic"] for slot in filled[PROBE][: len(topics)])
    assert counts == Counter(topics)
    assert all(slot["attributes"]["topic"] in slot["prompt"] for slot in filled[PROBE])


def test_a_sample_trains_its_prompt_to_its_text_and_adds_no_association():
    sample = {"id": "a-1", "prompt": "Write about the sea.", "text": "The sea is deep.", "label": None, "group": None}
    rows = mixing.training_samples([], [sample], labelled, DOMAIN, {}, 0.0, 1)
    assert (rows[0]["user"], rows[0]["assistant"]) == ("Write about the sea.", "The sea is deep.")
    labels = DOMAIN["labels"]
    sides = [[[True] * 6 + [False] * 6, [False] * 6 + [True] * 6]]
    plain = inheritance.association([*labels, *labels], sides, labels)
    with_probe = inheritance.association([*labels, *labels, None], [[side + [False] for side in sides[0]]], labels)
    assert (plain == with_probe).all()


def test_it_is_measured_along_the_association_of_its_writer_and_against_dose_0(config):
    pools = {name: catalog.load("bias", name) for name in [*config["grid"]["bias"], "neutral", "balanced"]}
    directions = inheritance.directions(pools)
    assert directions[PROBE] == directions["subliminal-000"] == [("projection", "associated-100")]
    assert directions["balanced"] == [("projection", "neutral")]
    controls = grid.comparisons(config)
    assert controls[PROBE] == {"augmentation": "original", "dose": "subliminal-000"}
    assert controls["associated-100"]["dose"] == "associated-000" and "dose" not in controls["subliminal-000"]
    read = {bias for _, _, bias, *_ in grid.claim_readings(config)["C12"]["answers"]}
    assert read == {PROBE, "subliminal-000", "associated-100", "associated-000"}


def test_its_writer_is_tuned_at_the_largest_gamma_and_it_stops_at_round_1(config):
    two = config | {"grid": config["grid"] | {"gamma": [0, 0.2, 0.5], "model": ["tiny-random"], "writer": ["student"]}}
    two |= {"rounds": config["rounds"] | {"count": 2}}
    pool = {"model": "tiny-random@other", "domain": "gender", "bias": PROBE, "seed": 3}
    writer = {"model": "other", "domain": "gender", "bias": "associated-100", "gamma": "0.50", "mitigation": "none"}
    assert grid.cell_of_writer(two, pool) == {**writer, "seed": 3, "round": 1}
    assert grid.cell_of_writer(two, {**pool, "bias": "neutral"}) is None
    assert {cell["round"] for cell in grid.cells(two) if cell["bias"] == PROBE} == {1}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"bias": ["associated-000", PROBE]}, f"grid.bias.1.: {PROBE} is written by a model tuned on associated-100, which must be"),
        ({"model": ["tiny-random"], "writer": ["smollm2-135m-instruct"]}, "needs smollm2-135m-instruct tuned on associated-.00 from"),
        ({"writer": ["local-server"]}, "needs a tuned writer, and local-server cannot be fine-tuned"),
        ({"domain": ["culture-arabic"], "task": ["hate-speech"]}, f"{PROBE} needs labelled texts, which culture-arabic does not have"),
    ],
)  # fmt: skip
def test_what_a_probe_lacks_is_told_at_the_start(config, changes, expected):
    wrong = config | {"grid": config["grid"] | changes}
    with pytest.raises(UserError, match=expected):
        checks.check(wrong, [("config.yaml", wrong)])
