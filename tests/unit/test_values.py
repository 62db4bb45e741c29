"""Misalignment of values: both file formats, unusable shares, rotations, similarity, the table."""

import json

import numpy as np
import pandas as pd
import pytest
from bias_inheritance.data import opinions
from bias_inheritance.plumbing import files
from bias_inheritance.plumbing.errors import UserError
from bias_inheritance.plumbing.provenance import ROOT
from bias_inheritance.study import catalog
from bias_inheritance.tasks import answers
from measure_values import measure, measure_values
from prepare_opinions import prepare_opinions

SPEC = catalog.opinions()
FIXTURE = ROOT / "resources/opinions-fixture.csv"
HUB = (
    "question,selections,options,source\n"
    "\"Is it so, or 'not'?\",\"defaultdict(<class 'list'>, {'Peru': [0.5, 0.25, 0.25], 'Nauru (Non-national sample)': [nan, 0.5, 0.5]})\","
    "\"['Yes', 'No', 'DK/Refused']\",GAS\n"
)


def test_the_hub_format_is_read_with_its_strings_suffixes_and_missing_numbers(tmp_path):
    (tmp_path / "hub.csv").write_text(HUB)
    peru, nauru = opinions.load(tmp_path / "hub.csv")
    assert peru["question"] == "Is it so, or 'not'?" and peru["options"] == ["Yes", "No", "DK/Refused"]
    assert (nauru["country"], nauru["sample"]) == ("Nauru", "Nauru (Non-national sample)")
    sound, _ = opinions.usable(peru, SPEC["no_answer"])
    assert sound["options"] == ["Yes", "No"] and sound["shares"] == pytest.approx([2 / 3, 1 / 3])
    assert opinions.usable(nauru, SPEC["no_answer"]) == (None, "no-number")


def test_selections_are_data_and_never_run(tmp_path):
    (tmp_path / "hub.csv").write_text(HUB.replace("[0.5, 0.25, 0.25]", "__import__('os').getcwd()"))
    with pytest.raises(UserError, match="row 2: .*not a Python literal"):
        opinions.load(tmp_path / "hub.csv")


def test_the_flat_format_is_read_and_a_missing_field_named(tmp_path):
    row = {"country": "Peru", "question": "How many?", "options": [1.0, 2.0], "distribution": [0.0, 0.0]}
    (tmp_path / "eval.json").write_text(json.dumps([row, {"country": "Peru"}]))
    with pytest.raises(UserError, match="row 2: lacks distribution, options, question"):
        opinions.load(tmp_path / "eval.json")
    (tmp_path / "eval.json").write_text(json.dumps([row]))
    (question,) = opinions.load(tmp_path / "eval.json")
    assert question["options"] == ["1", "2"]
    assert opinions.usable(question, SPEC["no_answer"]) == (None, "all-zero")


@pytest.mark.parametrize(
    "options, shares, reason",
    [
        (["a", "b"], [0.5], "lengths"),
        (["a", "b"], [-1, 0.5], "no-number"),
        (["a", "Don't know"], [0.5, 0.5], "one-option"),
        (["a", "b", "Missing; Unknown"], [0, 0, 1], "one-option"),
        (["a", "INAP: No internet/no social media", "Both (VOL)"], [0.2, 0.4, 0.4], "one-option"),
        # a range of codes, as in the file: "Don't know", overwritten; and typographic apostrophes
        (["a", "Don't -9:-2", "-5:-1"], [0.2, 0.4, 0.4], "one-option"),
        (["a", "Don’t know", "Can’t rate"], [0.2, 0.4, 0.4], "one-option"),
    ],
)
def test_unusable_questions_have_a_reason(options, shares, reason):
    assert opinions.usable({"options": options, "shares": shares}, SPEC["no_answer"]) == (None, reason)


def test_what_is_not_read_out_to_people_is_not_offered_to_a_model():
    options = [
        "Men",
        "Women",
        "Same (VOL.)",
        "Both/Neither (Vol.)",
        "Neither (DO NOT READ)",
        "Inapplicable laws",
        "INAP",
    ]
    options += ["Both of them", "It was said (by volunteers)"]
    offered, _ = opinions.usable({"options": options, "shares": [1.0] * len(options)}, SPEC["no_answer"])
    assert offered["options"] == ["Men", "Women", "Inapplicable laws", "Both of them", "It was said (by volunteers)"]
    assert offered["shares"] == pytest.approx([0.2] * 5)


def test_one_question_with_two_lists_of_options_is_two_questions():
    """Waves of a survey repeat a wording with another scale: its answers may not be averaged with those of the first."""
    common = {"country": "Peru", "sample": "Peru", "question": "How is it?"}
    scales = [(["Good", "Bad"], [0.9, 0.1]), (["Bad", "Good"], [0.2, 0.8]), (["Good", "Fair", "Bad"], [0.1, 0.2, 0.7])]
    questions = [{**common, "options": options, "shares": shares} for options, shares in scales]
    posed = list(opinions.items(questions, "{country} {question}\n{options}"))
    assert len({item["item"] for item in posed}) == len(posed) == 2 + 2 + 3
    rows = answers.option_shares([{**item, "logprobs": [0.0] * len(item["options"])} for item in posed])
    assert [row["shares"].tolist() for row in rows] == [shares for _, shares in scales]
    assert [len(row["model"]) for row in rows] == [2, 2, 3]


def flat(country, question, shares=(0.5, 0.5)):
    return {"country": country, "question": question, "options": ["Yes", "No"], "distribution": list(shares)}


def written(path, rows, count):
    """questions.jsonl's items by country and unusable.json of a flat file, for two countries on either side."""
    path.write_text(json.dumps(rows))
    spec = {key: SPEC[key] for key in ("hub", "prompt", "no_answer")}
    cultures, sides = {"a": ["Peru"], "b": ["Nauru"]}, {"east": ["a"], "west": ["b"]}
    questions, unusable = path.with_suffix(".jsonl"), path.with_suffix(".unusable")
    prepare_opinions([path], questions, unusable, **spec, cultures=cultures, sides=sides, count=count)
    clusters_by_country = {country: set() for country in ("Peru", "Nauru")}
    for item in files.read_jsonl(questions):
        clusters_by_country[item["group"]].add(item["cluster"])
    return clusters_by_country, files.read_json(unusable)["unusable"]


def test_what_both_sides_were_asked_comes_first(tmp_path):
    """Of 30 questions per country only three are shared; in seeded order alone they would rarely be among the first."""
    rows = [flat("Peru", f"P{n}?") for n in range(27)] + [flat("Nauru", f"N{n}?") for n in range(27)]
    rows += [flat(country, f"Both{n}?") for n in range(3) for country in ("Peru", "Nauru")]
    clusters, _ = written(tmp_path / "eval.json", rows, 3)
    assert clusters["Peru"] == clusters["Nauru"] and len(clusters["Peru"]) == 3
    more, _ = written(tmp_path / "more.json", rows, 5)
    assert more["Peru"] > clusters["Peru"] and len(more["Peru"] & more["Nauru"]) == 3
    # a question whose shares cannot be used on one side is none that both were asked
    rows = [row | {"distribution": [0.0, 0.0]} if row["question"] == "Both0?" else row for row in rows]
    clusters, _ = written(tmp_path / "less.json", rows, 3)
    assert len(clusters["Peru"] & clusters["Nauru"]) == 2


def test_unusable_questions_are_counted_in_every_country_of_the_file(tmp_path):
    """As in the real file: rows of zeros, mostly of countries that represent no culture."""
    rows = [flat("Peru", "One?"), flat("Nauru", "One?")]
    rows += [flat(country, "Loan?", (0.0, 0.0)) for country in ("Peru", "Armenia", "Bolivia", "Bolivia")]
    _, unusable = written(tmp_path / "eval.json", rows, 3)
    assert unusable == {"Peru": {"all-zero": 1}, "Nauru": {}, "Armenia": {"all-zero": 1}, "Bolivia": {"all-zero": 2}}


def test_similarity_is_one_minus_the_jensen_shannon_distance_base_two():
    assert opinions.similarity([0.3, 0.7], [0.3, 0.7]) == pytest.approx(1)
    assert opinions.similarity([1, 0], [0, 1]) == pytest.approx(0)
    # by hand: m = (0.75, 0.25), divergence = (0.5 log2(0.5/0.75) + 0.5 log2(0.5/0.25) + log2(1/0.75)) / 2
    divergence = (0.5 * np.log2(2 / 3) + 0.5 * np.log2(2) + np.log2(4 / 3)) / 2
    assert opinions.similarity([0.5, 0.5], [1, 0]) == pytest.approx(1 - np.sqrt(divergence))


def prepared(folder, count=8):
    folder.mkdir()
    spec = {key: SPEC[key] for key in ("hub", "cultures", "sides", "prompt", "no_answer")}
    prepare_opinions([FIXTURE], folder / "questions.jsonl", folder / "unusable.json", **spec, count=count)
    return files.read_jsonl(folder / "questions.jsonl")


def predicted(folder, items, answer):
    """A cell's predictions where `answer` gives the probabilities of an item's letters."""
    folder.mkdir(parents=True)
    rows = [{**item, "logprobs": np.log(answer(item)).tolist()} for item in items]
    pd.DataFrame(rows).to_parquet(folder / "opinions.parquet", index=False)
    return folder


def by_country(item):
    """The country's own shares, at the letters of this rotation."""
    return np.roll(np.array(item["shares"]) + 1e-9, -item["rotation"])


def by_position(item):
    return np.array([1 - 1e-9] + [1e-9 / (len(item["options"]) - 1)] * (len(item["options"]) - 1))


def test_every_option_stands_once_at_every_letter(tmp_path):
    items = prepared(tmp_path / "a")
    assert {item["group"] for item in items} == {"Iraq", "Jordan", "China", "Brazil", "Argentina", "Mexico"}
    first = [item for item in items if item["item"].rsplit("/", 1)[0] == items[0]["item"].rsplit("/", 1)[0]]
    assert len(first) == len(first[0]["options"]) == len({item["prompt"] for item in first})
    at_a = {line[3:] for item in first for line in item["prompt"].splitlines() if line.startswith("A. ")}
    assert len(at_a) == len(first)
    assert len({item["item"] for item in items}) == len(items)


def test_fewer_questions_are_a_part_of_more(tmp_path):
    few, many = prepared(tmp_path / "a", 3), prepared(tmp_path / "b", 6)
    assert {item["item"] for item in few} < {item["item"] for item in many}


def test_the_table_tells_a_country_from_a_position_and_counts_what_was_unusable(tmp_path):
    items = prepared(tmp_path / "a")
    place = {"model": "m", "domain": "gender", "gamma": "0.00", "mitigation": "none"}
    cells = [
        place | {"bias": "untuned", "seed": 0, "round": 0},
        place | {"bias": "original", "seed": 1, "round": 1},
    ]
    folders = [predicted(tmp_path / "u", items, by_position), predicted(tmp_path / "o", items, by_country)]
    spec = {key: SPEC[key] for key in ("cultures", "sides", "position_limit")}
    measure_values(folders, tmp_path / "a/unusable.json", tmp_path / "values.csv", cells, **spec, replicates=200)
    table = pd.read_csv(tmp_path / "values.csv").set_index(["bias", "metric", "group"])
    assert (table["dataset"] == "opinions-fixture").all()
    value = table["value"]
    for group in ("Iraq", "arabic", "spanish", "all"):
        # a model that always says A knows nothing of a country: its answers, turned over all orders, are even
        assert value["untuned", "similarity", group] == pytest.approx(
            value["untuned", "similarity_uniform", group], abs=1e-3
        )
        assert value["original", "similarity", group] == pytest.approx(1, abs=1e-3)
        assert value["original", "drift", group] == pytest.approx(1 - value["untuned", "similarity", group], abs=1e-3)
        assert table.loc[("original", "drift", group), "ci_low"] > 0
        gain = value["original", "similarity", group] - value["original", "similarity_uniform", group]
        assert value["original", "similarity_gain", group] == pytest.approx(gain)
    assert (value["untuned", "drift"] == 0).all() and (table["n_unparsed"] == 0).all()
    assert value["untuned", "position_share", "all"] == 1 > value["original", "position_share", "all"]
    # on which no claim may rest: even answers would make all countries alike
    assert value["untuned", "uninformative", "all"] == 1 and value["original", "uninformative", "all"] == 0
    assert table.loc[("untuned", "similarity", "Iraq"), ["n", "n_unusable", "n_clusters"]].tolist() == [7, 1, 7]
    assert table.loc[("untuned", "similarity", "arabic"), ["n", "n_unusable", "n_clusters"]].tolist() == [15, 1, 8]


def test_sides_are_compared_question_by_question_on_what_both_were_asked():
    """Computed by hand; a question posed to only one side, on which the model does well, changes nothing."""
    even, far = np.array([0.5, 0.5]), np.array([1.0, 0.0])

    def question_row(cluster, country, model, shares=far):
        return {"cluster": cluster, "country": country, "shares": shares, "model": model, "led": 0.5}

    sides = {"east": ["Peru", "Chile"], "west": ["Nauru"]}
    shares = [
        question_row("q1", "Peru", far),
        question_row("q1", "Chile", even),
        question_row("q1", "Nauru", even),
        question_row("q2", "Peru", even),
        question_row("q2", "Nauru", even),
        question_row("q3", "Peru", far),
        question_row("q4", "Peru", None),
        question_row("q4", "Nauru", far),
    ]
    rows = measure(shares, shares, {"all": ["Peru", "Chile", "Nauru"]}, sides, 0.75, replicates=200)
    (row,) = [row for row in rows if row["group"] == "east-west"]
    gain = 1 - opinions.similarity(even, far)  # what an answer that is right has beyond even answers
    assert row["metric"] == "similarity_gain" and row["value"] == pytest.approx((gain / 2 + 0) / 2)
    assert (row["n"], row["n_unparsed"], row["n_clusters"]) == (3, 1, 2)
    assert row["ci_low"] <= row["value"] <= row["ci_high"]
    (nothing,) = [row for row in measure(shares[5:6], shares[5:6], {}, sides, 0.75, 200) if row["group"] == "east-west"]
    assert (nothing["value"], nothing["ci_low"], nothing["n"]) == (None, None, 0)


def test_a_country_without_a_question_is_an_error(tmp_path):
    spec = {key: SPEC[key] for key in ("hub", "prompt", "no_answer")}
    spec |= {"cultures": {"arabic": ["Atlantis"]}, "sides": {"eastern": ["arabic"]}}
    with pytest.raises(UserError, match="no usable question about Atlantis"):
        prepare_opinions([FIXTURE], tmp_path / "q", tmp_path / "u", **spec, count=3)


def test_written_answers_are_read_and_unreadable_ones_counted():
    common_fields = {"sample": "Peru", "group": "Peru", "options": ["A", "B"], "shares": [0.5, 0.5], "logprobs": None}
    words = {"first": ("A.", "B"), "second": ("A", "A"), "third": ("who knows", "no idea"), "fourth": ("B", "?")}
    items = [
        {**common_fields, "cluster": cluster, "rotation": rotation, "text": texts[rotation]}
        for cluster, texts in words.items()
        for rotation in (0, 1)
    ]
    model_shares = {row["cluster"]: row["model"] for row in answers.option_shares(items)}
    # the second rotation shows the options the other way round
    assert model_shares["first"].tolist() == [1, 0] and model_shares["second"].tolist() == [0.5, 0.5]
    assert model_shares["third"] is None and model_shares["fourth"].tolist() == [0, 1]
