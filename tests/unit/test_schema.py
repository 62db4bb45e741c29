"""Alternatives in catalog files, and the place at which a fault is reported."""

import pytest
import yaml
from bias_inheritance.study import catalog, reading, schema

TICKETS = """
title: Support tickets
family: labelled
tasks: [occupation-classification]
data:
  files: my/tickets.csv
  columns: {text: body, label: urgency, group: country}
  split: {test: 0.3, reserve: 0.2}
labels: {1: low, "2": high, true: urgent}
groups:
  german: {words: [german, germany]}
  nigerian: {words: [nigerian, lagos], names: [Ngozi]}
  indian:
contrasts: {reference: german, compared: [nigerian, indian]}
sample: a support ticket
swap: [{german: german, nigerian: nigerian, indian: indian}, {german: berlin, indian: delhi, where: ","}]
"""


def faults(text, kind):
    return [reading.line(*fault) for fault in schema.faults(yaml.safe_load(text), kind)]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("files: my/tickets.csv", "files: [a.csv, b.csv]"),
        ("files: my/tickets.csv", "files: {train: a.csv, test: [b.csv, c.csv]}"),
        ("files: my/tickets.csv", "hub: owner/tickets\n  revision: abc\n  config: en\n  splits: [train]"),
        ("{test: 0.3, reserve: 0.2}", "{test: 0.3, reserve: 0.2, source: 0.5}"),
        ("{test: 0.3, reserve: 0.2}", "{source: train, reserve: [dev, validation], test: test}"),
        ("label: urgency, ", ""),
        ('{1: low, "2": high, true: urgent}', "[low, high, None, 'null', '1']"),
        ("compared: [nigerian, indian]", "compared: all"),
        (
            "  split:",
            "  votes: {columns: [rater_1, rater_2], values: {yes: 1, no: 0}, at_least: 2}\n  split:",
        ),
        ("  split:", "  votes: {columns: [a, b, c], majority: true}\n  split:"),
        ("  indian:\n", "  indian: {value: [3, IN], noun: Indian, forms: {he: they}, names: {culture: english}}\n"),
        ("groups:", "groups:\n  a:\n  b:\n  c:\n  d:"),
    ],
)
def test_a_domain_of_the_users_own_texts(old, new):
    assert faults(TICKETS, "domain") == [] and old in TICKETS
    assert faults(TICKETS.replace(old, new), "domain") == []


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("  files: my/tickets.csv\n", "", "data: lacks 'files' or 'hub', where the texts are"),
        ("  columns: {text: body, label: urgency, group: country}\n", "", "data: lacks 'columns', the role of each column"),
        ("  split:", "  votes: {columns: [a, b]}\n  split:", "data.votes: lacks 'at_least' or 'majority', which turn votes into a label"),
        ("text: body", "texts: body", "data.columns.texts: unknown key (did you mean 'text'?)"),
        ("  split:", "  votes: {columns: [a, b], at_least: 1, majority: true}\n  split:", "data.votes: has both 'at_least' and 'majority'"),
        ("reserve: 0.2}", "reserve: 0.2, source: 0.4}", "data.split: the shares add up to 0.9, not to 1; change them, or leave out source"),
        ("reserve: 0.2}", "reserve: 0.7}", "data.split: the shares leave no text as the source of D_o"),
        ("reserve: 0.2}", "reserve: dev}", "data.split: give a share for every part, or name splits of the data for every part"),
        ("test: 0.3", "test: 1.3", "data.split.test: 1.3 is not allowed; use a share between 0 and 1, or names of "),
        ("words: [nigerian, lagos]", "wrods: [nigerian]", "groups.nigerian.wrods: unknown key (did you mean 'words'?)"),
        ("words: [nigerian, lagos]", "words: nigerian", "groups.nigerian.words: 'nigerian' is text, not a list; write ['nigerian']"),
        ("contrasts: {reference: german, ", "contrasts: {", "contrasts.reference: missing; add it (a group, or rest)"),
        ('{1: low, "2": high, true: urgent}', "[no, maybe]", "labels[0]: False is true or false, not text; quote it"),
        ('{1: low, "2": high, true: urgent}', "low", "labels: 'low' is text, not a list; write ['low']"),
        ('"2": high', '"2":', "labels.2: None is null, not text"),
    ],
)  # fmt: skip
def test_a_fault_in_a_domain_is_placed(old, new, message):
    assert old in TICKETS
    assert any(line.startswith(message) for line in faults(TICKETS.replace(old, new), "domain")), faults(
        TICKETS.replace(old, new), "domain"
    )


BOUGHT = "role: natural\nsource: {files: my/synthetic.jsonl, columns: {text: generation, label: label}}\n"


def test_a_pool_from_files():
    assert faults(BOUGHT, "bias") == []
    assert faults(BOUGHT.replace("files:", "file:"), "bias") == [
        "source.file: unknown key (did you mean 'files'?)",
    ]
    nowhere = BOUGHT.replace("files: my/synthetic.jsonl, ", "")
    assert faults(nowhere, "bias") == ["source: lacks 'files' or 'hub', where the texts are"]
    unpinned = BOUGHT.replace("files: my/synthetic.jsonl", "hub: me/synthetic")
    assert faults(unpinned, "bias") == ["source: lacks 'revision', the commit of the data set `hub`"]
    both = BOUGHT.replace("files:", "hub: me/synthetic, revision: abc, files:")
    assert faults(both, "bias") == [
        "source: has both 'files' and 'hub'; remove the one that the samples are not read from"
    ]
    null = both.replace("my/synthetic.jsonl", "null")
    assert faults(null, "bias") == ["source.files: None is null, not text"]
    message = "source: 'reservs' is not one of generated, originals, reserve (did you mean 'reserve'?)"
    assert faults("role: natural\nsource: reservs\n", "bias") == [message]


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("{method: mask, token: X}", None),
        ("{method: mask, neutral: the person}", None),
        ("{method: mask}", "text[0]: lacks one of token, neutral; add one of them"),
        (
            "{method: mask, token: X, neutral: Y}",
            "text[0].neutral: does not go with the other keys; remove one of them",
        ),
        ("{method: prefix, lines: X}", "text[0].lines: unknown key (did you mean 'line'?)"),
        ("{method: my_own, strength: 2}", None),
    ],
)
def test_the_settings_of_a_mitigations_method(method, message):
    lines = faults(f"title: Mine\ndoes: changes texts\ntext: [{method}]\n", "mitigation")
    assert message in lines if message else lines == []


def test_a_job_has_one_gpu_at_most():
    """A second one would be reserved and hidden from the job."""
    model = {key: value for key, value in catalog.load("model", "qwen2.5-7b-instruct").items() if key != "name"}
    model["resources"] = {**model["resources"], "gpu": 2}
    assert [reading.line(*fault) for fault in schema.faults(model, "model")] == ["resources.gpu: 2 is above 1"]


@pytest.mark.parametrize("kind", ["bias", "domain", "task", "model", "mitigation"])
def test_every_file_of_the_catalog_has_its_shape(kind):
    for name in catalog.names(kind):
        content = catalog.load(kind, name)
        assert schema.faults({key: content[key] for key in content if key != "name"}, kind) == [], name


def test_every_key_of_the_configuration_says_what_it_is():
    assert all(field.description for field in schema.Study.model_fields.values())
    assert set(schema.Study.model_fields) == set(reading.read(catalog.ROOT / "config.yaml"))


def test_a_missing_key_and_a_key_that_is_no_text_are_placed():
    config = reading.read(catalog.ROOT / "config.yaml")
    del config["grid"]["seed"]
    config["domains"] = {1: {}}
    config["max_cost_usd"] = None
    assert [reading.line(*fault) for fault in schema.faults(config, "study")] == [
        "grid.seed: missing; add it (replications)",
        "domains[1]: 1 is a whole number, not text; quote it",
        "max_cost_usd: None is null, not a number",
    ]
