"""Verify a finished study before reporting: realised γ, no test items in training data, balance, no missing cells."""

import csv
import math
from collections import Counter
from pathlib import Path

from bias_inheritance.plumbing import files, step
from bias_inheritance.plumbing.errors import UserError
from bias_inheritance.plumbing.step import Input, Inputs, Output
from bias_inheritance.pools import overlap


def check_results(
    scores: Input,
    questions: Inputs,
    tests: Inputs,
    trains: Inputs,
    summaries: Inputs,
    checks: Output,
    cells: list,
    tasks: list,
    posed: list,
    originals: dict,
    even: dict,
    accumulated: bool,
):
    """Write checks.csv: each check, what it examined, and its result.

    tasks: those of each cell. trains and summaries: the training rows and the mixes of `cells` except `untuned`; questions: the items of each {domain,
    task} of `posed`, those of a benchmark with its `texts`; tests: the test samples of each domain of `originals`
    {domain: |D_o|}, all in the same order. even: {domain: {pool: {`label` or `group`: number of values over which its slots
    are balanced}}}. accumulated: whether a mix holds as many samples of the pool of every round so far. Raises UserError
    with the offending file and row.
    """
    clusters = {domain: {} for domain in originals}  # cluster → the file of its items
    benchmark_texts = {domain: {} for domain in originals}  # (item, its file, number) → text
    for path, place in zip(questions, posed, strict=True):
        for row in files.read_jsonl(path):
            clusters[place["domain"]][row["cluster"]] = path
            for number, text in enumerate(row.get("texts", ())):
                benchmark_texts[place["domain"]][row["item"], path, number] = text
    tested, twins = {}, {}
    for domain, path in zip(originals, tests, strict=True):
        samples = files.read_jsonl(path)
        twins[domain] = _twins(samples)
        examined = {(row["id"], path, 0): row["text"] for row in samples if row["twin"] in clusters[domain]}
        tested[domain] = overlap.Texts(benchmark_texts[domain] | examined)
    rounded, collapsed, holes, compared, replacements = 0.0, 0, 0, set(), {}
    tuned = [cell for cell in cells if cell["bias"] != "untuned"]
    for path, summary, cell in zip(trains, summaries, tuned, strict=True):
        rows, gamma, domain = files.read_jsonl(path), float(cell["gamma"]), cell["domain"]
        if note := files.read_json(summary)["mitigation"].get("filter"):
            replacements.setdefault(cell["mitigation"], []).append((note["replaced"], note["due"]))
        if not rows and cell["round"] > 1:  # its pool had too few samples; mix and scores record that
            collapsed += 1
            continue
        pools = cell["round"] if accumulated else 1
        rounded = max(rounded, _rounding(path, rows, originals[domain], gamma, pools))
        shared = sorted({row["cluster"] for row in rows} & clusters[domain].keys())
        if shared:
            raise UserError(
                f"{path}: trains on {shared[0]}, a test item of {clusters[domain][shared[0]]}{_more(shared)}; fix the splits of the domain {domain}"
            )
        for number, row in enumerate(rows, start=1):
            text = f"{row['user']}\n{row['assistant']}"
            if (domain, text) in compared:
                continue
            compared.add((domain, text))
            # a short test text is repeated only by a text that equals it, without the words of the prompt
            repeated = tested[domain].repeated_by(text) or tested[domain].repeated_by(row["text"])
            if repeated:
                name, place, _ = repeated
                maker = "write_pool" if row["origin"] == "augmented" else "draw_originals"
                remedy = f"remove one of the two from the data, and run again with --forcerun {maker}"
                if repeated in benchmark_texts[domain]:
                    remedy = f"remove {row['id']} from the data, or the task {Path(place).stem} from grid.task"
                raise UserError(f"{path}, row {number}: {row['id']} repeats the test text {name} of {place}; {remedy}")
        if cell["mitigation"] == "none":  # a mitigation may change rows
            holes = max(holes, _balanced(path, rows, even[domain].get(cell["bias"])))
    _require_all_scores(scores, cells, tasks)
    mixes = f"{len(trains)} mixes" + (f", {collapsed} of them collapsed" if collapsed else "")
    texts = sum(len(listed.sizes) + len(listed.short) for listed in tested.values())
    check_rows = [
        ("realised γ", mixes, f"as asked, but for rounding to whole samples (at most {rounded:.4f})"),
        (
            "overlap",
            f"{mixes}, {sum(map(len, clusters.values()))} test clusters, {len(compared)} training texts against {texts} test texts",
            "no test item was trained on",
        ),
        (
            "balance",
            mixes,
            f"labels and groups of generated and associated pools within one sample, and one more for each failed slot (at most {holes} in a mix)",
        ),
        *(
            ("filter", f"{len(counts)} mixes with {mitigation}", _replaced(*map(sum, zip(*counts, strict=True))))
            for mitigation, counts in replacements.items()
        ),
        *(
            (
                "twins",
                f"{with_twin + without} test texts of {domain}",
                f"{with_twin} have a counterfactual twin in another group; {without} are compared within their label alone",
            )
            for domain, (with_twin, without) in twins.items()
            if with_twin + without
        ),
        ("cells", f"{len(cells)} cells", "each has a score of every task that it answered"),
    ]
    with files.replacing(checks) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("check", "checked", "result"), *check_rows])


def _replaced(replaced, due):
    text = f"{replaced} of the {due} most slanted samples were replaced"
    if replaced < due:
        text += "; the others had no less slanted spare sample of their label and group (generation.spare adds some)"
    return text


def _twins(samples):
    """Numbers of test texts of a known group with, and without, a twin in another group."""
    groups = {}
    for sample in samples:
        groups.setdefault(sample["twin"], set()).add(sample["group"])
    sizes = [len(members) for members in groups.values() if members not in ({None}, {"all"})]
    return sum(size > 1 for size in sizes), sizes.count(1)


def _balanced(path, rows, sizes):
    """Number of failed slots of a mix. Raises UserError if its imbalance exceeds what failed slots explain.

    sizes: {label or group: number of values over which the slots are balanced}.
    """
    pools = {}
    for row in rows:
        if row["origin"] == "augmented":
            pools.setdefault(row["id"].rpartition("-")[0], []).append(row)
    failed = 0
    for taken in pools.values() if sizes else []:
        missing = max(row["slot"] for row in taken) + 1 - len(taken)
        failed = max(failed, missing)
        kinds = Counter(tuple(row[name] for name in sizes) for row in taken)
        fewest = min(kinds.values()) if len(kinds) == math.prod(sizes.values()) else 0
        kind, most = kinds.most_common(1)[0]
        if most - fewest > 1 + missing:
            raise UserError(
                f"{path}: has {most} samples of {' and '.join(kind)} but {fewest} of another kind, with {missing} failed slots; run again with --forcerun finetune"
            )
    return failed


def _rounding(path, rows, originals, gamma, pools):
    """Difference of a mix's γ from what is asked, by rounding to whole samples. Raises UserError unless the mix contains
    all originals and the exact number of augmented samples, γ·|D_o| / (1 − γ) for each of `pools`."""
    added = sum(row["origin"] == "augmented" for row in rows)
    needed = pools * gamma * originals / (1 - gamma)
    if len(rows) - added != originals or abs(added - needed) > pools * 0.5 + 1e-9:
        raise UserError(
            f"{path}: has {len(rows) - added} originals and {added} augmented samples; γ {gamma:.2f} of {originals} originals needs {needed:.1f}: run again with --forcerun finetune"
        )
    return abs(added / len(rows) - needed / (originals + needed))


def _require_all_scores(scores, cells, tasks):
    """Raise UserError unless the table has rows for exactly the tasks of each cell."""
    expected = {
        (*map(str, cell.values()), task)
        for cell, tasks_of_cell in zip(cells, tasks, strict=True)
        for task in tasks_of_cell
    }
    with open(scores, encoding="utf-8", newline="") as file:
        present = {tuple(row[key] for key in (*cells[0], "task")) for row in csv.DictReader(file)}
    for wrong, verb in ((expected - present, "lacks"), (present - expected, "should not have")):
        if wrong:
            first = "/".join(min(wrong))
            raise UserError(f"{scores}: {verb} {first}{_more(wrong)}; run again with --forcerun gather_scores")


def _more(items):
    return f" and {len(items) - 1} more" if len(items) > 1 else ""


if __name__ == "__main__":
    step.run(check_results)
