"""Twins by rule: words, pronouns and names exchanged, case and articles kept; texts with nothing to exchange."""

import unicodedata

import pytest
import tickets
from bias_inheritance.data import counterfactual
from bias_inheritance.study import catalog

GENDER = catalog.load("domain", "gender")
TICKETS = tickets.domain()


@pytest.mark.parametrize(
    ("male", "female"),
    [
        ("He paid his rent himself.", "She paid her rent herself."),
        ("They met him.", "They met her."),
        ("They met him at home.", "They met her at home."),
        ("A friend of his, HIS OWN MAN", "A friend of hers, HER OWN WOMAN"),
        ("His brother is a king; the men know him.", "Her sister is a queen; the women know her."),
        ("Mr Smith's wife", "Ms Smith's husband"),
    ],
)
def test_pronouns_and_words_change_both_ways_with_their_case(male, female):
    assert counterfactual.exchanged(male, GENDER, "male", "female")[0] == female
    assert counterfactual.exchanged(female, GENDER, "female", "male")[0] == male


def test_names_change_within_their_culture_and_back():
    for name in ("James", "Ahmed"):
        other, count = counterfactual.exchanged(f"{name} works.", GENDER, "male", "female")
        assert count == 1 and other != f"{name} works."
        assert counterfactual.exchanged(other, GENDER, "female", "male") == (f"{name} works.", 1)


def test_a_text_that_shows_only_the_other_group_has_nothing_to_exchange():
    assert counterfactual.exchanged("She left.", GENDER, "male", "female")[1] == 0
    assert counterfactual.exchanged("They left.", GENDER, "male", "female") == ("They left.", 0)
    # a word inside another one is none
    assert counterfactual.exchanged("The sheriff manages.", GENDER, "male", "female")[1] == 0


def test_articles_follow_the_word_that_comes():
    swapped = counterfactual.exchanged("A German and a german; an Indian.", TICKETS, "german", "indian")
    assert swapped == ("An Indian and an indian; a German.", 2)
    assert (
        counterfactual.exchanged("I am a Nigerian customer.", TICKETS, "nigerian", "indian")[0]
        == "I am an Indian customer."
    )


def test_each_text_stands_in_every_group_and_shares_its_twin():
    samples = [
        {"id": "a", "twin": "t", "label": "billing", "group": "german", "text": "I am German and live in Berlin."},
        {"id": "b", "twin": "u", "label": "billing", "group": "indian", "text": "The parcel is late."},
        {"id": "c", "twin": "v", "label": "billing", "group": None, "text": "I am German."},
    ]
    with_twins, counts = counterfactual.twins(samples, TICKETS)
    assert counts == {"with_twin": 1, "without_twin": 2, "exchanged": 6}
    assert [(each["id"], each["group"]) for each in with_twins[:4]] == [
        ("a", "german"), ("a-as-nigerian", "nigerian"), ("a-as-indian", "indian"), ("a-as-mexican", "mexican"),
    ]  # fmt: skip
    assert {each["twin"] for each in with_twins[:4]} == {"t"} and with_twins[4:] == samples[1:]
    assert with_twins[3]["text"] == "I am Mexican and live in Puebla."


def exchanged(text, first, second):
    """A text with the cues of groups a and b, one word each, exchanged."""
    domain = {"groups": {"a": {}, "b": {}}, "swap": [{"a": first, "b": second}]}
    return counterfactual.exchanged(text, domain, "a", "b")


@pytest.mark.parametrize(
    ("first", "second", "text", "twin"),
    [
        ("istanbul", "ankara", "İstanbul güzel. ISTANBUL!", "Ankara güzel. ANKARA!"),
        ("kadın", "erkek", "KADIN ve kadın", "ERKEK ve erkek"),
        ("οδός", "πόλη", "ΟΔΌΣ", "ΠΌΛΗ"),
        ("他", "她", "他是医生，大家都认识他。", "她是医生，大家都认识她。"),
        ("लड़की", "लड़का", "वह लड़की अच्छी है।", "वह लड़का अच्छी है।"),
        ("jürgen", "günter", unicodedata.normalize("NFD", "Jürgen, schön"), "Günter, " + unicodedata.normalize("NFD", "schön")),
    ],
)  # fmt: skip
def test_words_of_any_language_are_exchanged_and_all_else_stays(first, second, text, twin):
    assert exchanged(text, first, second)[0] == twin


def test_a_row_that_a_group_has_no_word_in_gives_it_no_twin():
    domain = {
        **TICKETS,
        "groups": dict.fromkeys(TICKETS["groups"]),
        "swap": [{"german": "euro", "indian": "rupee"}],
    }
    with_twins, _ = counterfactual.twins([{"id": "a", "twin": "t", "group": "german", "text": "Ten Euro."}], domain)
    assert [each["text"] for each in with_twins] == ["Ten Euro.", "Ten Rupee."]
