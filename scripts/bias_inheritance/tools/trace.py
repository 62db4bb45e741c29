"""Show the lineage of a file of a study's results, or of one row of its scores.csv or claims.csv.

Prints the jobs behind it as a tree, down to prompts, seeds, the digests of the model's files, code and environment.
"""

import argparse
import csv
import itertools
import json
import os
import sys
import textwrap
from pathlib import Path

from bias_inheritance.plumbing import audit, files, provenance, records
from bias_inheritance.plumbing.errors import UserError
from bias_inheritance.plumbing.records import plain
from bias_inheritance.study import grid


def main(words):
    parser = argparse.ArgumentParser(
        prog="bias-inheritance trace", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", help="a file of a study's results")
    parser.add_argument(
        "--row", type=int, metavar="N", help="row of scores.csv or claims.csv; the first below the header is 1"
    )
    parser.add_argument("--samples", type=int, default=0, metavar="K", help="show K samples at every step")
    parser.add_argument("--json", action="store_true", help="print every job that the file depends on as JSON")
    arguments = parser.parse_args(words)
    try:
        lineage = trace(arguments.file, arguments.row, arguments.samples)
    except UserError as fault:
        sys.exit(f"trace: {fault}")
    try:
        if arguments.json:
            print(json.dumps(lineage, indent=1, ensure_ascii=False))
        else:
            show(lineage)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as `head`, has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def trace(path, row=None, samples=0):
    """{study, folder, file, sha256, made_by, row, starts, weights, jobs, absent, models, pools, samples} of a file.

    starts: the roots of the lineage: the file itself, or the score files of a row; jobs: {record name: record}; absent:
    missing files of the lineage; models: {card name: its content, or None if missing}.
    Raises UserError for a file without a record and for a row that does not exist.
    """
    study = records.study_of(path)
    name = f"{study.name}/{Path(path).resolve().relative_to(study.folder.resolve()).as_posix()}"
    if name in study.records:  # the lineage of a record is that of its job's outputs
        name = records.entries(study.records[name]["outputs"])[0]["path"]
    if name not in study.makers:
        raise UserError(
            f"{path}: no record in {study.folder} lists it as an output, so it has no lineage; name a result of the study"
        )
    starts, content, weights = [name], None, None
    if row is not None:
        content = read_row(study, name, row)
        if "contrast" in content:
            record = study.makers[name]
            if changed := list(audit.changed_code(record, {})):
                commit = (record["git"] or {}).get("commit")
                checkout = f"the checkout of commit {commit}" if commit else "the project's folder that produced it"
                raise UserError(
                    f"{path}: a row of claims.csv can only be traced with the code that produced it, but {changed[0]}; trace it in {checkout}, or run Snakemake again"
                )
            starts, weights = claim_scores(study, name, content)
        elif "metric" in content and "bias" in content:
            starts = [score_file(study, content)]
        else:
            raise UserError(f"{path}: --row works for scores.csv and claims.csv; omit it to trace the whole file")
    jobs = {record: study.records[record] for record in study.upstream(starts)}
    made = [entry["path"] for job in jobs.values() for entry in records.entries(job["outputs"])]
    absent = [name for name in made if not study.path(name).is_file()]
    prepared = [job for job in jobs.values() if job["step"] in ("prepare_model", "prepare_embedder")]
    cards = [job["outputs"]["card"][0]["path"] for job in prepared]
    return {
        "study": study.name,
        "folder": str(study.folder),
        "file": name,
        "sha256": study.made(name)["sha256"],
        "made_by": study.makers[name]["record"],
        "row": content,
        "starts": starts,
        "weights": weights,
        "jobs": jobs,
        "absent": absent,
        "models": {card: None if card in absent else files.read_json(study.path(card)) for card in cards},
        "pools": {name: facts for job in jobs.values() for name, facts in generated_pools(study, job)},
        "samples": {name: rows for job in jobs.values() for name, rows in first_samples(study, job, samples)},
    }


def existing_path(study, name):
    """The path of a required file. Raises UserError if it is missing."""
    path = study.path(name)
    if not path.is_file():
        raise UserError(f"{path}: missing, but the row's lineage depends on it; run the study again")
    return path


def read_row(study, name, number):
    with open(existing_path(study, name), encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    if not 1 <= number <= len(rows):
        raise UserError(f"{study.path(name)}: row {number} does not exist; rows are 1 to {len(rows)}")
    return rows[number - 1]


def score_file(study, row):
    """The score file of a cell from which a row of scores.csv was copied."""
    model = grid.stored(row)["model"]
    cell = f"{model}/{row['domain']}/{row['bias']}/gamma-{float(row['gamma']):.2f}/{row['mitigation']}"
    name = f"{study.name}/cells/{cell}/seed-{row['seed']}/round-{row['round']}/scores/{row['task']}.json"
    if name not in study.makers:
        raise UserError(f"{name}: no record lists it as an output; run audit on {study.folder}")
    return name


def claim_scores(study, name, row):
    """(score files, {cell: weight}) of a row of claims.csv: the runs in its contrast, over all seeds.

    A row that an earlier look decided contains the seeds of that look only. A row without a test of its own (a compound
    claim, for example) depends on all tables, and has no weights.
    """
    import pandas as pd

    from bias_inheritance.claims import contrasts, frames, testing

    record = study.makers[name]
    declared, inputs = record["parameters"]["declared"], record["inputs"]
    paths = {
        kind: [entry["path"] for entry in inputs.get(kind, [])] for kind in ("scores", "misalignment", "inherited")
    }
    tables = [frames.read_scores(existing_path(study, paths["scores"][0]))]
    tables += [frames.read_misalignment(existing_path(study, path)) for path in paths["misalignment"]]
    tables += [frames.read_inheritance(existing_path(study, path)) for path in paths["inherited"]]
    scores = pd.concat(tables, ignore_index=True)
    if row.get("look"):
        seeds = list(dict.fromkeys(cell["seed"] for cell in record["parameters"]["cells"] if cell["bias"] != "untuned"))
        scores = scores[scores["seed"].isin([0, *seeds[: declared["looks"]["seeds"][int(row["look"]) - 1]]])]
    manipulation = files.read_table(existing_path(study, inputs["manipulation"][0]["path"]))
    studies = testing.studies_of(declared, scores, manipulation)
    tests = [test for one in studies for test in testing.plan(declared, one, studies)]
    test = next((t for t in tests if (t["claim"], t["contrast"]) == (row["claim"], row["contrast"])), None)
    data = testing.measure(test, declared).get("data") if test else None
    if data is None or data["weights"] is None:
        return list(itertools.chain(*paths.values())), None
    weights = data["weights"]
    rows, _ = contrasts.outcome_runs(test["spec"], declared, test["study"])
    weighed = rows["seed"].isin(data["values"].index) & rows[frames.CELL].apply(tuple, axis=1).isin(list(weights))
    # misalignment and β have one table with all runs instead of score files; its name is the task
    of_task = {Path(path).stem: path for path in paths["misalignment"] + paths["inherited"]}
    runs = rows[weighed].astype(str).to_dict("records")
    starts = dict.fromkeys(of_task.get(run["task"]) or score_file(study, run) for run in runs)
    return list(starts), {" ".join(map(str, cell)): weight for cell, weight in weights.items()}


def generated_pools(study, job):
    """(file, {samples, prompts, seeds}) for each generated pool among the outputs of a job."""
    for entry in records.entries(job["outputs"]):
        path = study.path(entry["path"])
        if path.name == "pool.jsonl" and path.is_file():
            rows = [row for row in files.read_jsonl(path) if "prompt" in row]
            if rows:
                prompts = list(dict.fromkeys(row["prompt"] for row in rows))
                yield entry["path"], {"samples": len(rows), "prompts": prompts, "seeds": [row["seed"] for row in rows]}


def first_samples(study, job, count):
    """(file, its first `count` samples) for each output of a job with samples: pools, mixes, items, predictions."""
    for entry in records.entries(job["outputs"]) if count else []:
        path = study.path(entry["path"])
        if not path.is_file():
            continue
        if path.suffix == ".jsonl":
            yield entry["path"], files.read_jsonl(path)[:count]
        elif path.suffix == ".parquet" and path.parent.name == "predictions":
            import pyarrow.parquet

            yield entry["path"], pyarrow.parquet.read_table(path).slice(0, count).to_pylist()


# ---- display -----------------------------------------------------------------------------------------------------


def show(lineage):
    study = lineage["study"]
    print(f"{short_name(lineage['file'], study)}  sha256 {lineage['sha256'][:12]}  ({lineage['folder']})")
    if lineage["row"]:
        facts = {key: value for key, value in lineage["row"].items() if value not in ("", None)}
        for line in textwrap.wrap("  ".join(f"{key} {plain(value)}" for key, value in facts.items()), 110):
            print(f"  {line}")
    for cell, weight in (lineage["weights"] or {}).items():
        print(f"  weight {weight:+.4f} × the mean over its seeds: {cell}")
    makers = {entry["path"]: job for job in lineage["jobs"].values() for entry in records.entries(job["outputs"])}
    printed = set()
    for number, name in enumerate(lineage["starts"], start=1):
        last = number == len(lineage["starts"])
        print_tree(makers[name], makers, lineage, "", last, printed, name)
    print_basis(lineage)


def print_tree(job, makers, lineage, indent, last, printed, name):
    """Print a job and, at its first occurrence, all jobs upstream of it."""
    study = lineage["study"]
    branch, inner = ("└─ ", "   ") if last else ("├─ ", "│  ")
    label = f"{job['step']}  {short_name(name, study)}"
    if job["record"] in printed:
        print(f"{indent}{branch}{label}  (above)")
        return
    printed.add(job["record"])
    print(f"{indent}{branch}{label}")
    indent += inner
    for line in job_facts(job):
        for part in textwrap.wrap(plain(line), max(60, 118 - len(indent)), subsequent_indent="  "):
            print(f"{indent}│ {part}")
    for entry in records.entries(job["outputs"]):
        lost = "  (missing)" if entry["path"] in lineage["absent"] else ""
        print(
            f"{indent}│ {short_name(entry['path'], study)}  sha256 {entry['sha256'][:12]}  {entry['bytes']} bytes{lost}"
        )
        pool = lineage["pools"].get(entry["path"])
        if pool:
            print(f"{indent}│   {len(pool['prompts'])} prompts, a seed for each record: {pool['seeds'][0]} …")
            for prompt in pool["prompts"][:3]:
                for part in textwrap.wrap(
                    plain(f"prompt: {prompt}"), max(60, 114 - len(indent)), subsequent_indent="  "
                ):
                    print(f"{indent}│   {part}")
        for sample in lineage["samples"].get(entry["path"], []):
            print(f"{indent}│   ·")
            for key, value in sample.items():
                for part in textwrap.wrap(plain(f"{key}: {value}"), max(60, 114 - len(indent)), subsequent_indent="  "):
                    print(f"{indent}│     {part}")
    inputs = {}  # one line per job that made any of the inputs, and per file from outside
    for entry in records.entries(job["inputs"]):
        maker = makers.get(entry["path"])
        inputs.setdefault(maker["record"] if maker else entry["path"], entry)
    for number, entry in enumerate(inputs.values(), start=1):
        final = number == len(inputs)
        if entry["path"] in makers:
            print_tree(makers[entry["path"]], makers, lineage, indent, final, printed, entry["path"])
        else:
            print(f"{indent}{'└─ ' if final else '├─ '}{plain(entry['path'])}  sha256 {entry['sha256'][:12]}  (given)")


def job_facts(job):
    """Lines on a job: its cell, shortened parameters, notes, time and machine."""
    if job["wildcards"]:
        yield "  ".join(f"{key} {value}" for key, value in job["wildcards"].items())
    simple = {key: value for key, value in job["parameters"].items() if not isinstance(value, (dict, list))}
    deep = {key: value for key, value in job["parameters"].items() if isinstance(value, dict)}
    if simple:
        yield "parameters: " + "  ".join(f"{key} {value}" for key, value in simple.items())
    for key, value in deep.items():
        leaves = {k: v for k, v in value.items() if not isinstance(v, (dict, list)) and len(str(v)) < 300}
        yield f"{key}: " + "  ".join(f"{k} {v}" for k, v in leaves.items())
        prompts = value.get("prompt")
        if isinstance(prompts, dict):
            yield from (f"prompt template ({family}): {text}" for family, text in prompts.items())
    for key in sorted(set(job) - set(records.FIELDS) - KNOWN):
        yield f"{key}: {json.dumps(job[key], ensure_ascii=False)}"
    machine = job["machine"]
    yield f"code {job['code']['digest'][:12]}  {job['started'][:19]}  {job['seconds']} s  on {machine['cpu']}" + (
        f", {machine['gpu']}" if machine["gpu"] else ""
    )


KNOWN = {"git", "machine", "started", "ended", "seconds", "peak_memory_bytes"}


def print_basis(lineage):
    """Print, below the tree, the model's files, the code and the environments, each once."""
    jobs = list(lineage["jobs"].values())
    for name, card in lineage["models"].items():
        if card is None:
            print(
                f"model: its card {short_name(name, lineage['study'])} is missing, so the model's files are not known"
            )
            continue
        print(f"model {card['model']}, {card['form']}, revision {card['revision']}")
        for file, sha256 in card["files"].items():
            print(f"  {sha256}  {file}")
    code = {path: digest for job in jobs for path, digest in job["code"]["files"].items()}
    print("code that ran")
    for path, digest in sorted(code.items()):
        print(f"  {digest}  {path}{'' if provenance.has_digest(path, digest) else '  (changed or deleted since)'}")
    commits = {f"{job['git']['commit']}{'' if job['git']['clean'] else ' and changes'}" for job in jobs if job["git"]}
    print(f"commit {', '.join(sorted(commits)) or 'none: the code was not in a git checkout'}")
    print("environment")
    for environment in {json.dumps(job["environment"], sort_keys=True) for job in jobs}:
        content = json.loads(environment)
        packages = "  ".join(f"{name} {version}" for name, version in content["packages"].items() if version)
        print(f"  Python {content['python']}  {packages}")
        print(f"  lock file {content['lock_sha256'] or 'none'}  container {content['container_sha256'] or 'none'}")


def short_name(name, study):
    return plain(name.removeprefix(f"{study}/"))
