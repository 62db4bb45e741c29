"""Options scored by a server's list of likely tokens: shares, bounds, and lists without a choice."""

import math

from bias_inheritance.models.served import options
from bias_inheritance.tasks import answers

LABELS = ["architect", "dentist", "nurse", "painter", "professor", "software engineer"]
LETTERS = list("ABCDEFGH")


def listing(*places):
    """(taken token, its probability, {alternative: probability}) per place, as a server lists them."""
    return [
        {"token": token, "logprob": math.log(share), "top": [[other, math.log(p)] for other, p in others.items()]}
        for token, share, others in places
    ]


def shares(places, labels):
    return [round(math.exp(value), 4) for value in options.listed_logprobs(listing(*places), labels)[0]]


def test_single_tokens_have_their_listed_probability():
    probabilities = shares([("B", 0.7, {" A": 0.2, "C": 0.06, "**": 0.02})], list("ABCD"))
    assert probabilities == [0.2, 0.7, 0.06, 0.01]


def test_an_answer_is_followed_while_several_options_agree_with_it():
    places = [("p", 0.8, {"nurse": 0.1, "soft": 0.05}), ("ro", 0.75, {"ain": 0.2}), ("fessor", 1.0, {})]
    assert shares(places, LABELS) == [0.025, 0.025, 0.1, 0.16, 0.6, 0.05]


def test_options_that_share_a_token_share_its_probability():
    places = [("nurse", 0.6, {"p": 0.3})]
    assert shares(places, LABELS) == [0.15, 0.15, 0.6, 0.15, 0.15, 0.15]


def test_an_end_of_the_answer_counts_for_the_option_that_ends_there():
    """llama.cpp lists the end of the answer as an empty token, as the taken one or as an alternative."""
    labels = ["nurse", "nurse practitioner", "painter"]
    first = ("nurse", 0.86, {"painter": 0.1})
    for second in (("", 0.86, {" practitioner": 0.14}), (" practitioner", 0.14, {"": 0.86})):
        assert shares([first, second], labels) == [0.7396, 0.1204, 0.1]
    # "nurse" goes on in another way than the longer option, or after it
    assert shares([first, (" practitioner", 0.14, {"": 0.8, " in": 0.06})], labels) == [0.7396, 0.1204, 0.1]
    assert shares([first, (" practitioner", 0.86, {"": 0.14}), (", since", 1.0, {})], labels) == [0.1204, 0.7396, 0.1]
    # an end where no option ends
    assert shares([("p", 0.8, {"nurse": 0.1}), ("ainter", 0.6, {"": 0.3})], ["painter", "professor", "nurse"])[2] == 0.1
    assert shares([("", 0.2, {"nurse": 0.7, "painter": 0.1})], ["painter", "nurse"]) == [0.1, 0.7]


def test_the_article_a_does_not_count_for_architect():
    places = [("nurse", 0.6, {"A": 0.3, "arch": 0.05})]
    assert shares(places, LABELS)[0] == 0.05
    places = [("A", 0.9, {"nurse": 0.05}), (" nurse", 0.9, {})]
    assert options.listed_logprobs(listing(*places), LABELS) == ([], 0)


def test_an_answer_without_a_choice_is_unreadable():
    places = [("S", 0.3, {"The": 0.4, "nurse": 0.01}), ("he", 1.0, {})]
    assert options.listed_logprobs(listing(*places), LABELS) == ([], 0)
    assert options.listed_logprobs([], LABELS) == ([], 0)
    assert answers.choice({"logprobs": [], "text": "nurse", "options": LABELS}) is None


def test_amounts_are_read_from_the_text():
    assert options.listable(LABELS) and options.listable(LETTERS) and options.listable(["1", "2"])
    assert not options.listable(["$20,000", "$26,000"])


def test_minus_infinity_is_not_listed_and_sets_no_bound():
    """Options listed with minus infinity are treated like options that are not listed."""
    (place,) = listing(("nurse", 0.7, {"dentist": 0.2, "painter": 0.04}))
    expected = [0.02, 0.2, 0.7, 0.04, 0.02, 0.02]
    logprobs, bounds = options.listed_logprobs([place], LABELS)
    assert [round(math.exp(value), 4) for value in logprobs] == expected and bounds == 3
    place["top"] += [["architect", None], ["professor", None], ["The", None]]
    logprobs, bounds = options.listed_logprobs([place], LABELS)
    assert [round(math.exp(value), 4) for value in logprobs] == expected and bounds == 3


def test_if_only_the_answer_is_possible_the_other_options_share_the_remainder():
    (place,) = listing(("nurse", 1.0, {}))
    place["top"] = [["nurse", 0.0], *([label, None] for label in LABELS if label != "nurse")]
    logprobs, bounds = options.listed_logprobs([place], LABELS)
    assert logprobs[2] == 0 and bounds == 5
    assert all(-20 < value < -10 for index, value in enumerate(logprobs) if index != 2)


def test_reading_ends_at_an_answer_of_unknown_probability():
    first, second = listing(("p", 0.5, {"nurse": 0.6}), ("ainter", 0.9, {}))
    first["logprob"] = None
    logprobs, bounds = options.listed_logprobs([first, second], LABELS)
    assert round(math.exp(logprobs[2]), 4) == 0.6 and bounds == 5
    assert all(math.isfinite(value) for value in logprobs)
