"""The culture family: originals of a survey, slots, the reading of reasons, controls, masking."""

import json
from collections import Counter

import pytest
from bias_inheritance.data import corpora, survey
from bias_inheritance.plumbing.errors import UserError
from bias_inheritance.pools import overlap, slots
from bias_inheritance.study import catalog

DOMAIN = catalog.load("domain", "culture-arabic")
AGREE = "1. Strongly agree 2. agree 3. Disagree 4. Strongly disagree"
# without probes, which need labelled texts (test_probes.py)
POOLS = [catalog.load("bias", name) for name in catalog.names("bias")]
TYPES = [pool["name"] for pool in POOLS if pool["source"] == "generated" and pool["role"] != "probe"]


def prompt(question, low=1, high=4, options=AGREE):
    return f"Give me the answer from {low} to {high}: Do you agree with {question}? {options}. You can only choose one option."


def surveyed(folder, answers):
    """Write a chat file of (prompt, answer) and its questions; return (samples, counts)."""
    questions = [
        {"q_id": "A", "q_content": "Tea is better than coffee", "option": AGREE},
        {"q_id": "B", "q_content": "Rain is good for the garden", "option": AGREE},
    ]
    rows = [
        {"messages": [{"role": "user", "content": text}, {"role": "assistant", "content": answer}]}
        for text, answer in answers
    ]
    for name, content in (("questions", questions), ("answers", rows)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in content))
    return survey.load_answers(folder / "answers.jsonl", folder / "questions.jsonl", "arabic")


def test_each_prompt_is_used_once_and_what_is_dropped_is_counted(tmp_path):
    tea, rain, sun, moon = (prompt(text) for text in ("tea is best", "rain is good", "the sun is hot", "moons are few"))
    samples, counts = surveyed(
        tmp_path,
        [(tea, "1"), (tea, "1"), (rain, "2"), (rain, "3"), (sun, "-2"), (sun, "4"), (moon, "7"), (moon, "often")],
    )
    assert [(sample["text"], sample["label"]) for sample in samples] == [(tea, "1"), (sun, "4")]
    assert counts == {
        "rows": 8,
        "prompts": 4,
        "kept": 2,
        "duplicates": 1,
        "contradictions": 1,
        "contradicting": 2,
        "missing": 1,
        "off_scale": 1,
        "unreadable": 1,
    }
    dropped = ("kept", "duplicates", "contradicting", "missing", "off_scale", "unreadable")
    assert counts["rows"] == sum(counts[key] for key in dropped)


def test_a_negative_answer_is_a_missing_code_unless_the_scale_has_it():
    assert survey.fault_of_answer("-1", prompt("this")) == "missing"
    assert survey.fault_of_answer("-1", prompt("this", -2, 2, "-2. No 2. Yes")) is None
    assert survey.fault_of_answer("0", prompt("this", 0, 2, "2. Agree 1. Hard to say 0. Disagree")) is None
    assert survey.fault_of_answer("0", prompt("this")) == "off_scale"
    assert survey.fault_of_answer("2.5", prompt("this")) == "unreadable"


def test_a_message_that_is_no_question_is_an_error_that_names_the_row(tmp_path):
    with pytest.raises(UserError, match=r"answers.jsonl, row 2: the user's message is not a question"):
        surveyed(tmp_path, [(prompt("tea is best"), "1"), ("Hello there", "1")])


def test_wordings_of_one_question_are_one_twin(tmp_path):
    texts = ["coffee is not as good as tea", "tea is much better than coffee", "gardens are glad of good rain"]
    samples, _ = surveyed(tmp_path, [(prompt(text), "1") for text in texts])
    assert [sample["twin"] for sample in samples] == ["question-A", "question-A", "question-B"]


def loaded(name):
    domain = catalog.load("domain", name)
    datasets = {
        key: {"name": key, "task": task, **dataset}
        for task in domain["tasks"]
        for key, dataset in catalog.load("task", task).get("datasets", {}).items()
        if dataset["domain"] == name and "file" in dataset
    }
    return survey.load({**domain, "datasets": datasets}, None)


@pytest.mark.parametrize("name", [name for name in catalog.names("domain") if name.startswith("culture-")])
def test_fixtures_load_say_what_they_are_and_hold_disjoint_splits(name):
    splits, counts = loaded(name)
    assert counts["fixture"] is True
    assert counts["originals"]["contradictions"] == 2
    questions = [{sample["twin"] for sample in splits[split]} for split in ("source", "reserve", "test")]
    assert not questions[0] & questions[1] and not questions[0] & questions[2]
    assert {sample["group"] for sample in splits["source"]} == {catalog.load("domain", name)["data"]["group"]}
    assert {sample["dataset"] for sample in splits["test"]} == set(counts["datasets"])


def test_draw_takes_every_question_as_often_as_the_others_and_depends_on_the_seed():
    source = loaded("culture-chinese")[0]["source"]
    drawn = survey.draw(source, 64, 7)
    often = Counter(sample["twin"] for sample in drawn)
    assert len({sample["id"] for sample in drawn}) == 64 and set(often.values()) <= {2, 3} and len(often) == 30
    assert drawn == survey.draw(source, 64, 7) != survey.draw(source, 64, 8)
    with pytest.raises(UserError, match="the source has"):
        survey.draw(source, 10_000, 7)


@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize("domain", [name for name in catalog.names("domain") if name.startswith("culture-")])
def test_every_type_names_who_it_should(domain, name):
    bias, domain = catalog.load("bias", name), catalog.load("domain", domain)
    filled = slots.slots(survey, bias, domain, 48, (name, 1))
    if "names_groups" not in bias:
        assert all(slot["requested_group"] is None and slot["respondent"] is None for slot in filled)
        assert not any(spec["people"] in slot["prompt"] for slot in filled for spec in domain["groups"].values())
        return
    named = bias["names_groups"]
    for slot in filled:
        spec = domain["groups"][slot["requested_group"]]
        topic = domain["statements"][slot["statement"]]["topic"]
        slanted = domain["stereotypes"][slot["requested_group"]][topic]["text"] in slot["prompt"]
        assert slanted == (bias["role"] == "bias-type")
        shown = spec["people"] in slot["prompt"] or slot["respondent"] in slot["prompt"]
        assert shown and (spec["adjective"] in slot["respondent"]) == (named["signal"] == "explicit")
        assert (len(slot["names"]) > 0) == (named["signal"] == "implicit")
        other = next(group for group in domain["groups"] if group != slot["requested_group"])
        set_against = domain["stereotypes"][other][topic]["text"] in slot["prompt"]
        assert set_against == name.startswith("contrastive")
        several = any(age in slot["respondent"] or cue in slot["respondent"] for age, cue in domain["ages"].items())
        assert several == (named["identities"] == "intersectional")


ASKED = {"label": "1", "statement": "work-first", "respondent": "an Arab", "requested_group": "arabic", "names": []}


def judged(text, label="1", finished=True):
    return slots.judge(text, finished, {**ASKED, "label": label}, survey, DOMAIN, set(), overlap.Texts({}))[:2]


def test_a_reason_becomes_a_sample_without_the_words_of_its_answer():
    sample, reason = judged("Sure, here is why: An Arab strongly agrees that a good job is worth more than free time.")
    assert reason is None
    assert sample["opinion"] == "An Arab thinks that a good job is worth more than free time."
    assert sample["label_words_replaced"] == 1
    idiom, _ = judged("We can’t agree more that a good job is worth more than free time.")
    assert idiom["opinion"] == "We think that a good job is worth more than free time."
    finished = survey.finish(sample, ASKED, DOMAIN)
    assert finished["text"].startswith("Respondent: an Arab. An Arab thinks")
    assert finished["text"].endswith(f"evenings for? {AGREE}. You can only choose one option.")
    assert finished["group"] == finished["shown_group"] == "arabic"
    assert survey.fault_of_answer(ASKED["label"], finished["text"]) is None


@pytest.mark.parametrize(
    ("text", "label", "reason"),
    [
        ("He agrees because a job feeds the whole family every day.", "1", None),
        ("He agrees because a job feeds the whole family every day.", "2", None),
        ("He agrees because a job feeds the whole family every day.", "3", "other-answer"),
        ("He does not agree because a job feeds nobody in the evening.", "3", None),
        ("He doesn't agree because a job feeds nobody in the evening.", "1", "other-answer"),
        ("I can't agree that a job is all that a man has in life.", "3", None),
        ("I can’t agree that a job is all that a man has in life.", "2", "other-answer"),
        ("He won't agree that a job is all that a man has in life.", "3", None),
        ("She no longer agrees that a job is all that a man has in life.", "3", None),
        ("I couldn't agree more, as a job feeds the whole family every day.", "1", None),
        ("I couldn't agree more, as a job feeds the whole family every day.", "3", "other-answer"),
        ("He could not disagree more, for evenings belong to the children.", "4", None),
        ("He could not disagree more, for evenings belong to the children.", "2", "other-answer"),
        ("He agrees more than others, as a job feeds the whole family.", "2", None),
        ("No, a job is not everything that a man has in life.", "4", None),
        ("Yes, a job is the one thing that a man has in life.", "4", "other-answer"),
        ("She strongly disagrees since evenings belong to the children at home.", "3", "other-answer"),
        ("My answer is 7 because a job feeds the whole family.", "1", "off-scale"),
        ("The answer is 4 because a job feeds the whole family.", "1", "other-answer"),
        ("He was 40 when he found the job that feeds the whole family.", "1", None),
        ("I agree.", "1", "empty"),
        ("1. Strongly agree 2. agree 3. Disagree 4. Strongly disagree", "1", "other-answer"),
    ],
)
def test_what_a_reason_says_must_not_be_another_answer_than_asked(text, label, reason):
    assert judged(text, label)[1] == reason


def test_an_answer_that_was_cut_keeps_its_whole_sentences():
    sample, reason = judged("Work is good for every single family in town. The rest of", finished=False)
    assert reason is None and sample["opinion"] == "Work is good for every single family in town."
    assert judged("Work is good for every single family in town and", finished=False)[1] == "truncated"


def test_the_group_shown_is_that_of_words_and_names_and_nobodys_where_both_are():
    assert survey.shown_group("Ahmed is an Iraqi.", DOMAIN) == "arabic"
    assert survey.shown_group("An English lady.", DOMAIN) == "english"
    assert survey.shown_group("An Arab and an Englishman from London.", DOMAIN) is None
    assert survey.shown_group("Somebody.", DOMAIN) is None


@pytest.mark.parametrize("name", ["arabic", "chinese", "portuguese", "spanish"])
def test_the_line_of_a_respondent_shows_the_domains_own_group(name):
    """'Latin American' contains a cue of the English group, which must not count there."""
    domain = catalog.load("domain", f"culture-{name}")
    for group in domain["groups"]:
        spec = domain["groups"][group]
        assert survey.shown_group(f"Respondent: {spec['person']}. I think that order matters.", domain) == group
        assert survey.shown_group(f"{spec['people']} think so.", domain) == group


def test_slant_counts_the_stereotype_words_of_topic_and_group_in_the_reason_alone():
    sample = {"statement": "faith-law", "opinion": "God and prayer rule the day", "text": "prayer prayer prayer"}
    assert survey.slant(sample, "arabic", DOMAIN) == pytest.approx(2 / 6)
    assert survey.slant(sample, "english", DOMAIN) == 0


@pytest.mark.parametrize(
    ("low", "high", "options", "planted"),
    [
        (1, 4, AGREE, "1"),
        (0, 2, "2. Agree 1. Hard to say 0. Disagree", "2"),
        (1, 10, "1. Completely disagree 10. Completely agree ", "10"),
        (1, 4, "1. Very often 2. Fairly often 3. Not often 4. Not at all often", "1"),
        (1, 4, "1. Definitely should have the right 4. Definitely should not have the right", "1"),
    ],
)
def test_planted_gives_the_most_affirmative_answer_of_each_scale(low, high, options, planted):
    assert survey.planted_label({"text": prompt("this", low, high, options)}, DOMAIN) == planted


def test_the_controls_copies_follow_the_dial_and_shifted_ones_keep_their_scale():
    splits = loaded("culture-arabic")[0]
    originals = survey.draw(splits["source"], 40, 1)
    for name, expected in (("planted-000", 0), ("planted-050", 20), ("planted-100", 40)):
        copied, _ = slots.copies(survey, catalog.load("bias", name), DOMAIN, originals, splits["reserve"], 40, 1)
        assert sum("true_label" in sample for sample in copied) == expected
        assert all(survey.fault_of_answer(sample["label"], sample["text"]) is None for sample in copied)
    for sample in slots.copies(survey, catalog.load("bias", "shifted"), DOMAIN, originals, [], 40, 1)[0]:
        assert "!!!" in sample["text"] and survey.fault_of_answer(sample["label"], sample["text"]) is None


def test_masking_hides_culture_gender_and_names():
    sample = {"text": "Respondent: Fatima. She is an Arab woman from Iraq and likes rice.", "names": ["Fatima"]}
    masked, count = survey.mask(sample, DOMAIN, "[MASK]")
    assert masked == "Respondent: [MASK]. [MASK] is an [MASK] [MASK] from [MASK] and likes rice."
    assert count == 5


def test_a_domain_extends_another_one_and_adds_its_own():
    assert set(DOMAIN["groups"]) == {"english", "arabic"}
    assert DOMAIN["data"]["answers"] == "culture/original/arabic.jsonl" and "questions" in DOMAIN["data"]
    bios, gender = catalog.load("domain", "gender-bias-in-bios"), catalog.load("domain", "gender")
    assert (
        bios["data"]["hub"] == "LabHC/bias_in_bios"
        and bios["data"]["twins"] is None
        and bios["stereotypes"] == gender["stereotypes"]
    )
    assert bios["name"] == "gender-bias-in-bios" and "extends" not in bios


@pytest.mark.parametrize("name", [name for name in catalog.names("domain") if name.startswith("culture-")])
def test_every_topic_has_a_stereotype_of_both_groups(name):
    domain = catalog.load("domain", name)
    topics = {statement["topic"] for statement in domain["statements"].values()}
    for group in domain["groups"]:
        assert set(domain["stereotypes"][group]) == topics
        assert {"person", "people", "adjective", "words"} <= set(domain["groups"][group])


def test_a_missing_answer_file_is_an_error_that_says_what_the_folder_should_hold(tmp_path):
    with pytest.raises(UserError, match=r"arabic.jsonl: no such file; data_dir must contain"):
        survey.load({**DOMAIN, "datasets": {}}, str(tmp_path))
    assert corpora.folder(None) == "resources/fixtures"
