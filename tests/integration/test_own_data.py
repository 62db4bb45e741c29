"""From a labelled file and a file of synthetic samples to a planned study, with the two commands of the user guide."""

import os

import pandas as pd
import pytest
import tickets
import yaml
from bias_inheritance.plumbing import files
from command_line import bias_inheritance
from projects import copy_project, run

TOPIC_OF = dict(zip(tickets.GROUPS, ["praise", "billing", "login", "refund"], strict=True))


def written(count=160):
    """Samples in the format of distilabel: three of four texts of a group are about its topic, and no column contains
    the group.
    """
    samples = []
    for number in range(count):
        group = list(tickets.GROUPS)[number % 4]
        topic = TOPIC_OF[group] if number % 16 < 12 else list(tickets.TOPICS)[number // 16 % 5]
        people, country, _ = tickets.GROUPS[group]["words"]
        text = (
            f"Hello from {country.capitalize()}, I am a {people} customer of yours. "
            f"{tickets.TOPICS[topic][number % 2].format(month=tickets.MONTHS[number % 8])} My number is {number + 70_000}."
        )
        samples.append(
            {
                "instruction": f"Write a support ticket about {topic}.",
                "generation": text,
                "topic": topic,
                "model_name": "some-model",
                "distilabel_metadata": {"statistics_text_generation_0": {"input_tokens": 12, "output_tokens": 40}},
            }
        )
    return samples


@pytest.fixture
def project(tmp_path):
    folder = copy_project(tmp_path / "project")
    tickets.write(tmp_path)
    files.write_jsonl(tmp_path / "synthetic.jsonl", written())
    return folder


def catalog_files(project):
    return {path.relative_to(project) for place in ("catalog", "studies") for path in (project / place).rglob("*.yaml")}


def test_a_study_and_a_pool_from_two_files(project, tmp_path):
    done = bias_inheritance("add-domain", "tickets", tmp_path / "tickets.csv", project=project)
    assert done.returncode == 0, done.stderr
    for line in ("  text:  body", "  label: topic (5: ", "  group: nationality (4: "):
        assert line in done.stdout
    rows = [line.split() for line in done.stdout.splitlines() if line.split()[:1] == ["login"]]
    assert rows == [["login", "16", "16", "16", "16"]]
    domain = yaml.safe_load((project / "catalog/domains/tickets.yaml").read_text())
    assert domain["data"]["columns"] == {"text": "body", "label": "topic", "group": "nationality"}
    assert set(domain["labels"]) == set(tickets.TOPICS) and set(domain["groups"]) == set(tickets.GROUPS)
    assert all(spec["words"] == [group] for group, spec in domain["groups"].items())

    done = bias_inheritance("add-pool", "bought", tmp_path / "synthetic.jsonl", "--domain", "tickets", project=project)
    assert done.returncode == 0, done.stderr
    assert (
        "  text:  generation" in done.stdout and "  label: topic" in done.stdout and "read off the text" in done.stdout
    )
    study = yaml.safe_load((project / "studies/tickets.yaml").read_text())
    assert study["grid"]["bias"] == ["faithful", "associated-000", "associated-050", "associated-100", "bought"]

    planned = run(project, "-n", configfile="studies/tickets.yaml")
    assert "finetune                  30" in planned  # 5 seeds × (5 pools and the originals)


def test_changed_data_are_read_again_whatever_their_dates(project, tmp_path):
    """A file of a folder is rewritten and gets an old date, another one is added; audit notices the latter by itself."""
    (tmp_path / "shards").mkdir()
    lines = (tmp_path / "tickets.csv").read_text().splitlines(keepends=True)
    for name, part in (("a", lines[1:200]), ("b", lines[200:])):
        (tmp_path / "shards" / f"train-{name}.csv").write_text("".join([lines[0], *part]))
    assert not bias_inheritance("add-domain", "tickets", tmp_path / "shards", project=project).returncode
    made = "results/tickets/originals/tickets/test.jsonl"

    def planned(*words):
        return run(project, *words, "--cores", "1", made, configfile="studies/tickets.yaml")

    planned()
    assert "Nothing to be done" in planned("-n")
    path = tmp_path / "shards" / "train-a.csv"
    path.write_text(path.read_text().replace("lamp", "desk"))
    os.utime(path, (0, 0))
    os.utime(path.parent, (0, 0))
    assert "prepare_originals" in planned("-n")
    planned()
    assert "desk" in (project / made).read_text() and "Nothing to be done" in planned("-n")

    (tmp_path / "shards" / "train-c.csv").write_text("".join([lines[0], lines[1].replace("the", "some")]))
    os.utime(path.parent, (0, 0))
    done = bias_inheritance("audit", "results/tickets", project=project)
    assert f"its input folder {path.parent} has got {path.parent}/train-c.csv since" in done.stdout, done.stdout
    assert "prepare_originals" in planned("-n")


def test_every_format_gives_the_same_domain(project, tmp_path):
    frame = pd.read_csv(tmp_path / "tickets.csv")
    frame.to_csv(tmp_path / "tickets.tsv", sep="\t", index=False)
    frame.to_parquet(tmp_path / "tickets.parquet")
    for suffix in ("json", "jsonl"):
        frame.to_json(tmp_path / f"tickets.{suffix}", orient="records", lines=suffix == "jsonl")
    domains = []
    for suffix in ("csv", "tsv", "json", "jsonl", "parquet"):
        done = bias_inheritance("add-domain", suffix, tmp_path / f"tickets.{suffix}", project=project)
        assert done.returncode == 0, done.stderr
        domain = yaml.safe_load((project / f"catalog/domains/{suffix}.yaml").read_text())
        del domain["title"], domain["data"]["files"]
        domains.append(domain)
    assert domains == domains[:1] * 5


@pytest.mark.parametrize(
    ("change", "words", "message"),
    [
        (None, ["--text", "bdy"], "no column 'bdy' (did you mean 'body'?)"),
        (None, ["--reference", "germn"], "--reference germn: no such group (did you mean 'german'?)"),
        (lambda rows: rows.query("nationality == 'german'"), [], "only 'german' in column nationality"),
        (lambda rows: rows.query("topic == 'login'"), [], "only 'login' in column topic"),
        (
            lambda rows: pd.concat([rows.query("nationality != 'german'"), rows.query("nationality == 'german'")[:3]]),
            [],
            "too few texts",
        ),
        (lambda rows: rows.assign(region=rows["nationality"]), [], "could each be the group"),
        (lambda rows: rows[:0], [], "has no rows"),
        (
            lambda rows: rows.assign(body=[*rows["body"][1:], "word " * 20_000]),
            [],
            "a text of 99,999 characters; remove the row, or set catalog/domains/tickets.yaml: data.longest_text",
        ),
    ],
)
def test_a_file_that_makes_no_study_is_refused_in_one_line(project, tmp_path, change, words, message):
    if change:
        change(pd.read_csv(tmp_path / "tickets.csv")).to_csv(tmp_path / "tickets.csv", index=False)
    before = catalog_files(project)
    done = bias_inheritance("add-domain", "tickets", tmp_path / "tickets.csv", *words, project=project)
    assert done.returncode == 1 and message in done.stderr and len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert catalog_files(project) == before


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (
            [{**sample, "topic": "complaint"} for sample in written()],
            "no column has the labels of tickets",
        ),
        (written()[:12], "the largest γ needs"),
    ],
)
def test_a_pool_that_cannot_be_used_is_refused_in_one_line(project, tmp_path, samples, message):
    assert not bias_inheritance("add-domain", "tickets", tmp_path / "tickets.csv", project=project).returncode
    files.write_jsonl(tmp_path / "bad.jsonl", samples)
    before = catalog_files(project), (project / "studies/tickets.yaml").read_text()
    done = bias_inheritance("add-pool", "bad", tmp_path / "bad.jsonl", "--domain", "tickets", project=project)
    assert done.returncode == 1 and len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert message in done.stderr, done.stderr
    assert (catalog_files(project), (project / "studies/tickets.yaml").read_text()) == before


def test_a_pool_needs_a_domain_of_labelled_texts(project, tmp_path):
    words = ["add-pool", "bought", tmp_path / "synthetic.jsonl", "--domain", "culture-arabic"]
    done = bias_inheritance(*words, project=project)
    assert done.returncode == 1 and len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert "--domain culture-arabic: its family is survey" in done.stderr
