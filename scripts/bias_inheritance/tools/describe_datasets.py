"""Write the table of the study's datasets, docs/datasets.md: rows read and dropped, and the majority-class baseline.

bias-inheritance datasets --data-dir PATH [--output docs/datasets.md]
"""

import argparse
import sys
from collections import Counter
from pathlib import Path

from bias_inheritance.data import corpora, labelled, survey
from bias_inheritance.plumbing import files
from bias_inheritance.plumbing.errors import UserError
from bias_inheritance.study import catalog
from bias_inheritance.tasks.labelled_texts import majority_macro_f1

LABELLED = "| dataset | corpus | language | task | rows | used | labels | majority-class macro-F1 |"
ORIGINALS = "| domain | countries | rows | prompts | used | copies | contradicting prompts | missing codes | off scale | unreadable |"


def describe_datasets(data_dir):
    """The page as Markdown. Raises UserError for a missing or unreadable file."""
    lines, corpora_read, shared, long = [], set(), Counter(), 0
    for name, dataset in all_datasets():
        samples, counts = corpora.read(dataset, data_dir)
        labels = [sample["label"] for sample in samples]
        shown = ", ".join(f"{label} {count:,}" for label, count in counts["labels"].items())
        majority = majority_macro_f1(labels, list(dataset["labels"]))
        used = f"{counts['kept']:,}{_dropped(counts)}"
        lines.append(
            f"| {name} | {dataset['corpus']} | {dataset['language']} | {dataset['task']} | {counts['rows']:,} | {used} | {shown} | {majority:.3f} |"
        )
        corpora_read.add(dataset["corpus"])
        shared.update(sample["twin"] for sample in samples)
        long += sum(len(sample["text"]) > catalog.load("task", dataset["task"])["longest_text"] for sample in samples)
    # BiasInBios is on the Hub; the shipped biographies are described instead
    biographies = twins()
    labels = [sample["label"] for sample in biographies]
    shown = ", ".join(f"{label} {count}" for label, count in sorted(Counter(labels).items()))
    majority = majority_macro_f1(labels, catalog.load("domain", "gender")["labels"])
    lines.append(
        f"| biographies | the project's, in place of BiasInBios | en | occupation-classification | {len(labels)} | {len(labels)} | {shown} | {majority:.3f} |"
    )
    return "\n".join(
        [
            "# The study's datasets",
            "",
            f"Written by `bias-inheritance datasets --data-dir PATH` from {_kind(data_dir)}; do not edit by hand.",
            "",
            f"{len(corpora_read)} corpora in {len(lines) - 1} files, and the biographies of the gender domain: {len(corpora_read) + 1} datasets (BiasInBios itself is on the Hub and is read only by the domain gender-bias-in-bios; its row describes the shipped biographies). *Used* excludes empty texts, copies of a text, and all texts whose copies have different labels, since the correct label is unknown. The majority-class macro-F1 is the score of always answering the most frequent label, over the task file's label set: a model that does not exceed it shows no skill.",
            "",
            f"{sum(count > 1 for count in shared.values()):,} of {len(shared):,} texts are in several files of their corpus; they are one cluster in every interval. {long:,} texts are longer than their task's `longest_text` and are cut.",
            "",
            LABELLED,
            _rule(LABELLED, right=(5, 6, 8)),
            *lines,
            "",
            "## Licences and origin",
            "",
            "None of these files is shipped with the project. Each corpus has its own licence; if its copy states none, ask the authors.",
            "",
            "| corpus | origin | licence |",
            "|---|---|---|",
            *sorted({f"| {d['corpus']} | {d['origin']} | {d['licence']} |" for _, d in all_datasets()}),
            "",
            "## Originals of the culture domains",
            "",
            "A prompt is used once, with the answer on which all its readable copies agree.",
            "",
            ORIGINALS,
            _rule(ORIGINALS, right=range(3, 11)),
            *(_originals_row(name, data_dir) for name in catalog.names("domain") if name.startswith("culture-")),
            "",
        ]
    )


def all_datasets():
    """(name, description) of every local dataset, sorted by language and corpus."""
    datasets = [
        (name, {"name": name, "task": task, **dataset})
        for task in catalog.names("task")
        for name, dataset in catalog.load("task", task).get("datasets", {}).items()
        if "file" in dataset
    ]
    return sorted(datasets, key=lambda pair: (pair[1]["language"], pair[1]["corpus"], pair[0]))


def twins():
    """The shipped test samples of the gender domain."""
    splits, _ = labelled.load(catalog.load("domain", "gender"))
    return splits["test"]


def _dropped(counts):
    reasons = counts["reasons"]
    nouns = {
        "empty text": "empty",
        "broken characters": "broken",
        "duplicate": "copies",
        "contradiction": "contradicting",
    }
    parts = [f"{reasons[reason]} {noun}" for reason, noun in nouns.items() if reason in reasons]
    return f" ({', '.join(parts)} dropped)" if parts else ""


def _originals_row(name, data_dir):
    domain = catalog.load("domain", name)
    answers, questions = (corpora.place(data_dir, domain["data"][key]) for key in ("answers", "questions"))
    _, counts = survey.load_answers(answers, questions, domain["data"]["group"])
    keys = ("rows", "prompts", "kept", "duplicates", "contradictions", "missing", "off_scale", "unreadable")
    return f"| {name} | {', '.join(domain['countries'])} | " + " | ".join(f"{counts[key]:,}" for key in keys) + " |"


def _rule(header, right):
    columns = header.count("|") - 1
    return "|" + "|".join("---:" if column in right else "---" for column in range(1, columns + 1)) + "|"


def _kind(data_dir):
    return (
        "the real files" if data_dir else "the project's fixtures (fixture: these numbers say nothing about any corpus)"
    )


def main(words):
    parser = argparse.ArgumentParser(prog="bias-inheritance datasets", description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", help="folder with culture/original and culture/testsets (default: the fixtures)")
    parser.add_argument("--output", type=Path, help="where to write the page (default: standard output)")
    arguments = parser.parse_args(words)
    try:
        page = describe_datasets(arguments.data_dir)
    except UserError as fault:
        sys.exit(f"datasets: {fault}")
    if arguments.output:
        files.write_text(arguments.output, page)
    else:
        print(page)
