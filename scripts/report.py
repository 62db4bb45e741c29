"""The report of a study: one file that opens offline, made from the study's tables and records alone."""

from functools import cache
from types import SimpleNamespace

from bias_inheritance import files, provenance, step
from bias_inheritance.report import figures, numbers, verdicts, words
from bias_inheritance.step import Input, Inputs, Output

PAGE = "scripts/bias_inheritance/report/page.html"
CSS = "scripts/bias_inheritance/report/page.css"
JS = "scripts/bias_inheritance/report/page.js"
STRETCHES = 30  # points of a training curve


def report(
    scores: Input,
    effects: Input,
    claims: Input,
    manipulation: Input,
    pools_table: Input,
    resolved: Input,
    declared: Input,
    cards: Inputs,
    training_logs: Inputs,
    pools: Inputs,
    failures: Inputs,
    misalignment: Inputs,
    records: Inputs,
    page: Output,
    cells: list,
    sampled: list,
    names: dict,
):
    """Write report.html.

    resolved: the study's config.yaml. declared: catalog/claims.yaml. cards: of the models. training_logs: with their
    wildcards in `cells`, in one order. pools, failures: those that samples are shown of, with their wildcards in `sampled`.
    misalignment: values.csv, groups.csv, distributions.csv as far as the study has them. records: every provenance record
    upstream. names: {bias, domain, mitigation, model, task: {name: leaves of its catalog file}}.
    """
    study = read_study(
        scores, effects, claims, manipulation, pools_table, resolved, declared, training_logs, misalignment, records, cells, names
    )
    found = verdicts.verdicts(study)
    sections = [
        make(study)
        for make in (
            figures.baseline,
            figures.effects,
            figures.groups,
            figures.mitigations,
            figures.manipulation,
            figures.controls,
            figures.reading,
            figures.rounds,
            figures.misalignment,
            figures.pools,
            figures.training,
            figures.cost,
        )
    ]
    files.write_text(
        page,
        render(
            config=study.config,
            date=max((record["ended"][:10] for record in study.records), default=None),
            lead=lead(study),
            summary=verdicts.summary(found, study),
            verdicts=found,
            limits=verdicts.limits(study),
            mixes=mixes(study),
            asked=asked(study),
            facts=figures.facts(study),
            sections=sections,
            samples=samples(study, pools, failures, sampled),
            provenance=provenance_table(study, cards, records, declared),
            page_facts={"study": study.config["study"], "folder": study.source.folder},
        ),
    )


# Reading


def read_study(
    scores, effects, claims, manipulation, pools_table, resolved, declared, training_logs, misalignment, records, cells, names
):
    """Everything that sections draw from, as one namespace."""
    import pandas as pd
    import yaml

    config = yaml.safe_load(resolved.read_text(encoding="utf-8"))
    claimed = yaml.safe_load(declared.read_text(encoding="utf-8"))
    table = numbers.scores_with_rows(numbers.read_table(scores))
    types = [bias for bias in config["grid"]["bias"] if "axes" in names["bias"][bias]]
    types.sort(key=lambda bias: names["bias"][bias]["number"])
    verdict_rows = numbers.read_table(claims)
    # a table of no rows has no columns that could tell what it holds
    counts = numbers.read_table(pools_table) if pools_table.stat().st_size > 1 else pd.DataFrame()
    shown = numbers.outcomes(table, names["task"], names["domain"])
    change = numbers.read_table(effects)
    change = change[change["metric"].isin({outcome["metric"] for outcome in shown})]
    return SimpleNamespace(
        config=config,
        names=names,
        types=types,
        all_types=claimed["types"],
        biases=[*types, *(bias for bias in config["grid"]["bias"] if bias not in types)],
        mitigations=config["grid"]["mitigation"],
        gammas=sorted(gamma for gamma in config["grid"]["gamma"] if gamma > 0),
        rounds=list(range(1, config["rounds"]["count"] + 1)),
        scores=table,
        outcomes=shown,
        effects=numbers.effects_with_rows(change, table),
        claims=verdict_rows,
        claim_texts={name: claim["text"] for name, claim in claimed["claims"].items()},
        claim_published={name: claim["published"] for name, claim in claimed["claims"].items()},
        manipulation=numbers.read_table(manipulation),
        pools_table=counts,
        training=read_training(training_logs, cells),
        misalignment={path.stem: numbers.read_table(path) for path in misalignment},
        records=[files.read_json(path) for path in records],
        source=words.Source(config["study"]),
        badge=badge,
        title=lambda bias: title(bias, names),
        pair=lambda domain: [names["domain"][domain][side] for side in ("reference", "compared")],
    )


def read_training(paths, cells):
    """All training logs as one frame with the cells' wildcards; `stretch` cuts each run into STRETCHES even parts."""
    import pandas as pd

    parts = []
    for path, cell in zip(paths, cells, strict=True):
        log = pd.read_csv(path)
        stretch = (log["step"] - 1) * STRETCHES // max(1, log["step"].max())
        parts.append(log.assign(**cell, stretch=stretch))
    if not parts:
        return pd.DataFrame()
    return pd.concat(parts, ignore_index=True).astype({"gamma": float})


def title(bias, names):
    if bias in names["bias"]:
        return names["bias"][bias]["title"]
    return {"untuned": "Untuned model", "original": "Originals alone"}.get(bias, bias)


def badge(verdict):
    from markupsafe import Markup

    mark, word = words.VERDICTS[verdict]
    return Markup('<span class="badge {}"><span aria-hidden="true">{}</span> {}</span>').format(
        verdict.replace(" ", "-"), mark, word
    )


# What the page says


def lead(study):
    """The study in one sentence."""
    grid = study.config["grid"]
    models = words.listed(study.names["model"][name]["title"] for name in grid["model"])
    domains = words.listed(study.names["domain"][name]["title"].lower() for name in grid["domain"])
    gammas = words.listed(f"{gamma:.2f}" for gamma in study.gammas) or "none above 0"
    return (
        f"{models} on {domains}: {words.counted(len(study.types), 'bias type')} and "
        f"{words.counted(len(grid['bias']) - len(study.types), 'control')} at γ = {gammas}, "
        f"{words.counted(len(grid['mitigation']), 'way')} of training, {words.counted(len(grid['seed']), 'seed')}."
    )


def mixes(study):
    from bias_inheritance.study import augmented_count

    originals = study.config["originals"]
    told = []
    for gamma in study.gammas:
        added = augmented_count(originals, gamma)
        told.append(f"at {gamma:.2f} with {words.count(added)} generated (exactly {added / (added + originals):.4f})")
    return ", ".join(told) or "no cell holds generated text"


def asked(study):
    """The tables of what was compared: bias types and controls, mitigations, tasks."""
    biases = [
        [words_of["title"], "bias type" if name in study.types else "control", words_of["does"]]
        for name in study.biases
        for words_of in [study.names["bias"][name]]
    ]
    mitigations = [[study.names["mitigation"][name]["title"], study.names["mitigation"][name]["does"]] for name in study.mitigations]
    tasks = [
        [
            task["title"],
            words.metric_name(task["primary"]["metric"]),
            "directly" if task["relation"] == "direct" else "indirectly",
            {"logprob": "log-probability of each option", "parsed": "written answers, read"}[task["scoring"]],
        ]
        for task in (study.names["task"][name] for name in study.config["grid"]["task"] if name in study.names["task"])
    ]
    return {
        "biases": figures.table("What the generated text was asked to be.", ["Name", "Kind", "What it does"], biases),
        "mitigations": figures.table("How the mix was trained on.", ["Mitigation", "What it does"], mitigations),
        "tasks": figures.table("What every model was asked.", ["Task", "Score", "Related to the bias", "Answers by"], tasks),
    }


def samples(study, pools, failures, sampled):
    """[{id, title, does, samples: [{head, text, prompt}]}] of the pools given: the first kept of each group, and a failure."""
    found = []
    several = [axis for axis in ("domain", "model") if len(study.names[axis]) > 1]
    order = {bias: place for place, bias in enumerate(study.biases)}
    for cell, pool, failed in sorted(zip(sampled, pools, failures, strict=True), key=lambda entry: order[entry[0]["bias"]]):
        bias = study.names["bias"][cell["bias"]]
        shown = []
        first = {}
        for row in files.read_jsonl(pool):
            first.setdefault(row.get("asked_group") or row.get("group"), row)
        for group, row in list(first.items())[:2]:
            told = [str(row["label"]) if "label" in row else "", f"about: {group}" if group else "no group shown"]
            if "true_label" in row:
                told[0] = f"{row['true_label']}, labelled {row['label']}"
            if row.get("label_words_replaced"):
                told.append(f"{words.counted(row['label_words_replaced'], 'label word')} replaced")
            shown.append({"head": " · ".join(filter(None, told)), "text": words.shown(row["text"]), "prompt": words.shown(row.get("prompt") or "")})
        for row in files.read_jsonl(failed)[:1]:
            reason = words.REASONS.get(row["reason"], row["reason"].replace("-", " "))
            shown.append({"head": f"Turned down: {reason}", "text": words.shown(row["raw_text"], 400), "prompt": words.shown(row.get("prompt") or "")})
        places = [study.names[axis][cell[axis]]["title"] for axis in several]
        found.append(
            {
                "id": figures.name_of("sample", *cell.values()),
                "title": " · ".join([bias["title"], *places]),
                "does": bias["does"][0].upper() + bias["does"][1:],
                "samples": shown,
            }
        )
    return found


def provenance_table(study, cards, records, declared):
    """What ran where, and the digests that the report stands on."""
    commits = {
        f"{record['git']['commit']}{'' if record['git']['clean'] else ' with uncommitted changes'}"
        for record in study.records
        if record.get("git")
    }
    environments = {
        f"Python {record['environment']['python']}; "
        + ", ".join(f"{name} {version}" for name, version in record["environment"]["packages"].items() if version)
        for record in study.records
    }
    locks = {record["environment"]["lock_sha256"] for record in study.records} - {None}
    containers = {record["environment"]["container_sha256"] for record in study.records} - {None}
    machines = {
        f"{record['machine']['cpu']}, {words.counted(record['machine']['cores'], 'core')}"
        + (f", {record['machine']['gpu']}" if record["machine"]["gpu"] else ", no GPU")
        for record in study.records
    }
    rows = [
        ["Digest of everything upstream", provenance.upstream_digest(records)],
        ["Records", words.count(len(study.records))],
        ["Claims as declared, sha256", provenance.sha256(declared)],
        ["Commit", "; ".join(sorted(commits)) or "not in a checkout"],
        *[
            [f"Model {card['model']}", f"revision {card['revision']}, NF4 base {card['form']}"]
            for card in map(files.read_json, cards)
        ],
        ["Environment", "; ".join(sorted(environments)) or "–"],
        ["Lock file, sha256", "; ".join(sorted(locks)) or "none"],
        ["Container, sha256", "; ".join(sorted(containers)) or "none: steps ran on the host"],
        ["Machine", "; ".join(sorted(machines)) or "–"],
    ]
    return figures.table("What this report stands on.", ["What", "Value"], rows)


# The page


def render(**content):
    """The page as text. Only the two scripts whose digests its policy names can run, whatever else it holds."""
    import base64
    import hashlib

    import jinja2
    from bias_inheritance.report import charts
    from markupsafe import Markup

    def read(path):
        return (provenance.ROOT / path).read_text(encoding="utf-8")

    scripts = {"bundle": bundle(), "js": read(JS)}
    digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts.values()]
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters["embedded"] = embedded
    return environment.from_string(read(PAGE)).render(
        **content,
        **{name: Markup(text) for name, text in scripts.items()},
        css=Markup(read(CSS)),
        script_hashes=" ".join(f"'sha256-{digest}'" for digest in digests),
        theme=charts.THEME,
        number=words.number,
        count=words.count,
    )


@cache
def bundle():
    """The JavaScript of Vega, Vega-Lite and vega-embed, in the version that altair writes for."""
    import vl_convert
    from altair import SCHEMA_VERSION

    version = ".".join(SCHEMA_VERSION.lstrip("v").split(".")[:2])
    return vl_convert.javascript_bundle(vl_version=version).replace("</script", "<\\/script")


def embedded(value):
    """JSON for a script element: nothing in it can close the element or open another."""
    import json

    from markupsafe import Markup

    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


if __name__ == "__main__":
    step.run(report)
