"""The report of a study: one file that opens offline, built from the study's tables and records only."""

import re

from bias_inheritance.plumbing import files, provenance, records, step
from bias_inheritance.plumbing.step import Input, Inputs, Output
from bias_inheritance.pools import collapse
from bias_inheritance.report import answer, context, results
from bias_inheritance.report.facts import BASELINES, Facts, read_table
from bias_inheritance.tasks import answers

PAGE = "scripts/bias_inheritance/report/page.html"
CSS = "scripts/bias_inheritance/report/page.css"
JS = "scripts/bias_inheritance/report/page.js"


def report(
    scores: Input,
    effects: Input,
    claims: Input,
    manipulation: Input,
    pools_table: Input,
    checked: Input,
    resolved: Input,
    declared: Input,
    foreseen: Inputs,
    inherited: Inputs,
    quality: Inputs,
    misalignment: Inputs,
    cards: Inputs,
    pools: Inputs,
    failures: Inputs,
    predictions: Inputs,
    page: Output,
    sampled: list,
    answered: list,
    names: dict,
    settings: dict,
    comparisons: dict,
    looks: dict | None,
):
    """Write report.html.

    resolved: the study's config.yaml; declared: catalog/claims.yaml; checked: checks.csv. foreseen: foresight.csv;
    inherited: inheritance.csv and inheritance_points.csv; quality: quality.csv; misalignment: its tables; all if the study
    has them. pools, failures and predictions: in the order of their wildcards in `sampled` and `answered`. names:
    {axis: {name: leaves of its catalog file}}. settings: {model: {domain: training settings}}. comparisons: {pool:
    {effect: control}}. looks: those of `grid.declared`, None without looks. Records are read from the folder of the results.
    """
    paths = [scores, effects, claims, manipulation, *foreseen, *inherited, *quality, *misalignment]
    tables = {path.stem: read_table(path) for path in paths}
    tables |= {"pools": read_table(pools_table), "checks": read_table(checked)}
    others = [pools_table, checked, resolved, declared, *cards, *pools, *failures, *predictions]
    jobs, digest = read_records(scores.parent, [*paths, *others])
    facts = Facts(
        tables=tables,
        config=read_yaml(resolved),
        declared=read_yaml(declared),
        names=names,
        settings=settings,
        comparisons=comparisons,
        looks=looks,
        cards=[files.read_json(path) for path in cards],
        jobs=jobs,
        items=read_items(predictions, answered, names),
        samples=[
            (cell, files.read_jsonl(kept), files.read_jsonl(failed))
            for cell, kept, failed in zip(sampled, pools, failures, strict=True)
        ],
        digest=digest,
    )
    checksums = {"Claims as declared, sha256": provenance.sha256(declared)}
    sections = [
        answer.claims(facts),
        answer.inheritance(facts),
        results.effects(facts),
        results.mitigations(facts),
        results.rounds(facts),
        results.levels(facts),
        context.why(facts),
        context.pools(facts),
        context.checks(facts),
        context.items(facts),
        context.methods(facts),
        context.provenance(facts, checksums),
    ]
    files.write_text(page, render(facts, answer.answer(facts), [section for section in sections if section]))


# Reading


def read_records(folder, inputs):
    """(records of all jobs upstream of the report's inputs, digest of everything upstream as computed by audit)."""
    results_folder = records.read(folder)
    made = [
        f"{results_folder.name}/{path.relative_to(folder)}" for path in expanded(inputs) if path.is_relative_to(folder)
    ]
    behind = results_folder.upstream(made)
    step.also_read([results_folder.path(name) for name in behind])
    return [results_folder.records[name] for name in behind], records.upstream_digest(results_folder, made)


def expanded(paths):
    """All files in `paths`, with folders expanded."""
    return [file for path in paths for file in (sorted(path.rglob("*")) if path.is_dir() else [path]) if file.is_file()]


def read_yaml(path):
    import yaml

    return yaml.safe_load(path.read_text(encoding="utf-8"))


def read_items(folders, cells, names):
    """[{model, domain, task, answers: {title of a cell: rows with `probabilities`}}]: the same items in every cell.

    LEAFED items are chosen at even distances in the file; collapsed cells have none.
    """
    import pyarrow.parquet as parquet

    by_place = {}
    for folder, cell in zip(folders, cells, strict=True):
        if collapse.reason(folder):
            continue
        for path in sorted(folder.glob("*.parquet")):
            rows = parquet.read_table(path).to_pylist()
            chosen = [rows[round(place * (len(rows) - 1) / (context.LEAFED - 1))] for place in range(context.LEAFED)]
            chosen = list({row["item"]: with_probabilities(row) for row in chosen}.values())
            title = BASELINES.get(cell["bias"]) or names["bias"][cell["bias"]]["title"]
            place = (cell["model"], cell["domain"], path.stem)
            by_place.setdefault(place, {})[title] = chosen
    return [
        {"model": model, "domain": domain, "task": task, "answers": dict(list(of_cells.items())[: context.ANSWERS])}
        for (model, domain, task), of_cells in by_place.items()
        if task in names["task"]
    ]


def with_probabilities(row):
    options = row.get("options")
    known = options is not None and row.get("logprobs") is not None and len(row["logprobs"])
    return row | {"probabilities": [answers.probability(row, option) for option in options] if known else None}


# The page


def render(facts, first, sections):
    """The page as text. Its content security policy allows only the script whose digest it states."""
    import base64
    import hashlib

    import jinja2
    from markupsafe import Markup

    def read(path):
        return (provenance.ROOT / path).read_text(encoding="utf-8")

    digest = base64.b64encode(hashlib.sha256(read(JS).encode()).digest()).decode()
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    page = environment.from_string(read(PAGE)).render(
        study=facts.config["study"],
        date=max((job["ended"][:10] for job in facts.jobs), default=""),
        first=first,
        sections=sections,
        css=Markup(read(CSS)),
        js=Markup(read(JS)),
        script_hash=f"sha256-{digest}",
    )
    rows = set(re.findall(r'<tr id="([^"]+)"', page))
    # marks without a row on the page keep their tooltip and lose their link
    return re.sub(r' href="#([^"]*)" tabindex="-1"', lambda link: link[0] if link[1] in rows else "", page)


if __name__ == "__main__":
    step.run(report)
