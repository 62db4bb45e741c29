"""The report of a study: one file that opens offline, made from the study's tables and records alone."""

import math
from functools import cache
from types import SimpleNamespace

from bias_inheritance import files, provenance, records, step
from bias_inheritance.report import checks, numbers, outcomes, parts, verdicts, why, words
from bias_inheritance.step import Input, Inputs, Output

PAGE = "scripts/bias_inheritance/report/page.html"
CSS = "scripts/bias_inheritance/report/page.css"
JS = "scripts/bias_inheritance/report/page.js"
STRETCHES = 30  # points of a training curve
WAYS = {"logprob": "log-probability of each option", "parsed": "written answers, read"}


def report(
    scores: Input,
    effects: Input,
    claims: Input,
    manipulation: Input,
    pools_table: Input,
    checked: Input,
    resolved: Input,
    declared: Input,
    quality: Inputs,
    misalignment: Inputs,
    cards: Inputs,
    training_logs: Inputs,
    pools: Inputs,
    failures: Inputs,
    page: Output,
    cells: list,
    sampled: list,
    names: dict,
):
    """Write report.html.

    checked: checks.csv, what the results were held against. resolved: the study's config.yaml. declared: catalog/claims.yaml. quality: quality.csv, of studies with rounds.
    misalignment: its tables, as far as the study has them. cards: of the models. training_logs: with their wildcards in
    `cells`, in one order. pools, failures: those that samples are shown of, with their wildcards in `sampled`. names:
    {bias, domain, mitigation, model, task: {name: leaves of its catalog file}}. Records are found beside the results.
    """
    tables = {"scores": scores, "effects": effects, "claims": claims}
    tables |= {"manipulation": manipulation, "pools": pools_table}
    tables |= {path.stem: path for path in [*quality, *misalignment]}
    others = [checked, resolved, declared, *cards, *training_logs, *pools, *failures]
    behind = read_records(scores.parent, [*tables.values(), *others])
    study = read_study(
        {name: numbers.read_table(path) for name, path in tables.items()},
        read_yaml(resolved),
        read_yaml(declared)["claims"],
        read_training(training_logs, cells),
        names,
        behind["jobs"],
    )
    found = verdicts.verdicts(study)
    sections = [
        make(study)
        for make in (
            checks.manipulation,
            outcomes.baseline,
            outcomes.effects,
            outcomes.groups,
            outcomes.mitigations,
            checks.controls,
            checks.reading,
            outcomes.rounds,
            why.misalignment,
            checks.pools,
            checks.training,
            checks.cost,
        )
    ]
    files.write_text(
        page,
        render(
            config=study.config,
            date=max((job["ended"][:10] for job in study.jobs), default=None),
            lead=lead(study),
            summary=verdicts.summary(found, study),
            verdicts=found,
            limits=verdicts.limits(study),
            mixes=mixes(study),
            asked=asked(study),
            facts=checks.facts(study),
            sections=sections,
            samples=samples(study, pools, failures, sampled),
            provenance=provenance_table(study, cards, checked, declared, behind["digest"]),
            page_facts={
                "study": study.config["study"],
                "folder": study.source.folder,
                "traceable": words.TRACEABLE,
            },
        ),
    )


# Reading


def read_records(folder, inputs):
    """{jobs: the records of all that lies behind the report's inputs, digest: of everything upstream, as audit gives it}."""
    study = records.read(folder)
    made = [f"{study.name}/{path.relative_to(folder)}" for path in inputs if path.is_relative_to(folder)]
    behind = study.upstream(made)
    step.also_read([study.path(name) for name in behind])
    return {
        "jobs": [study.records[name] for name in behind],
        "digest": records.upstream_digest(study, made),
    }


def read_yaml(path):
    import yaml

    return yaml.safe_load(path.read_text(encoding="utf-8"))


def read_study(tables, config, claimed, training, names, jobs):
    """Everything that sections draw from, as one namespace. tables: {name: frame}."""
    import pandas as pd

    scores = numbers.scores_with_rows(tables["scores"])
    types = [bias for bias in config["grid"]["bias"] if names["bias"][bias]["role"] == "bias-type"]
    types.sort(key=lambda bias: names["bias"][bias].get("number", math.inf))  # the paper's, then others
    shown = numbers.outcomes(scores, names["task"], names["domain"])
    effects = tables["effects"]
    effects = effects[effects["metric"].isin({outcome["metric"] for outcome in shown})]
    return SimpleNamespace(
        config=config,
        names=names,
        types=types,
        biases=[*types, *(bias for bias in config["grid"]["bias"] if bias not in types)],
        mitigations=config["grid"]["mitigation"],
        gammas=sorted(gamma for gamma in config["grid"]["gamma"] if gamma > 0),
        rounds=list(range(1, config["rounds"]["count"] + 1)),
        scores=scores,
        outcomes=shown,
        effects=numbers.effects_with_rows(effects, scores),
        claims=tables["claims"],
        claim_texts={name: claim["text"] for name, claim in claimed.items()},
        claim_published={name: claim["published"] for name, claim in claimed.items()},
        manipulation=tables["manipulation"],
        pools_table=tables["pools"],
        misalignment={name: tables[name] for name in why.MISALIGNMENT if name in tables},
        **{name: tables.get(name, pd.DataFrame()) for name in ("quality", "together", "correlations", "projection")},
        training=training,
        jobs=jobs,
        source=words.Source(config["study"]),
        badge=badge,
        title=lambda bias: title(bias, names),
    )


def read_training(paths, cells):
    """All training logs as one frame with the cells' wildcards; `stretch` cuts each run into STRETCHES even parts."""
    import pandas as pd

    parts = []
    for path, cell in zip(paths, cells, strict=True):
        log = pd.read_csv(path)
        if "step" not in log or log.empty:  # a collapsed cell, or a provider that gives no table
            continue
        if "sft_loss" not in log:  # nor does a provider tell the loss's parts and its tokens
            log = log.assign(sft_loss=log["loss"], alignment_loss=float("nan"), tokens=0)
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

    told = []
    sizes = parts.originals(study)
    for originals, domains in sizes.items():
        mixed = []
        for gamma in study.gammas:
            added = augmented_count(originals, gamma)
            share = added / (added + originals)
            mixed.append(f"at {gamma:.2f} with {words.count(added)} generated (exactly {share:.4f})")
        where = f" in {words.listed(domains)}" if len(sizes) > 1 else ""
        told.append(
            f"{words.counted(originals, 'original')}{where}, "
            + (", ".join(mixed) or "and no cell that holds generated text")
        )
    return "; ".join(told)


def asked(study):
    """The tables of what was compared: bias types and controls, mitigations, tasks."""
    biases = [
        [words_of["title"], "bias type" if name in study.types else "control", words_of["does"]]
        for name in study.biases
        for words_of in [study.names["bias"][name]]
    ]
    mitigations = [
        [study.names["mitigation"][name]["title"], study.names["mitigation"][name]["does"]]
        for name in study.mitigations
    ]
    tasks = [
        [
            task["title"],
            words.metric_name(task["primary"]["metric"]),
            {"direct": "directly", "indirect": "indirectly", "none": "not at all"}[task["relation"]],
            words.listed(sorted({WAYS[outcome["scoring"]] for outcome in study.outcomes if outcome["task"] == name}))
            or "–",
        ]
        for name in study.config["grid"]["task"]
        for task in [study.names["task"][name]]
    ]
    return {
        "biases": parts.table("What the generated text was asked to be.", ["Name", "Kind", "What it does"], biases),
        "mitigations": parts.table("How the mix was trained on.", ["Mitigation", "What it does"], mitigations),
        "tasks": parts.table(
            "What every model was asked.", ["Task", "Score", "Related to the bias", "Answers by"], tasks
        ),
    }


def samples(study, pools, failures, sampled):
    """[{id, title, does, samples: [{head, text, prompt}]}] of the pools given: the first kept of each group, and a failure."""
    found = []
    several = [axis for axis in ("domain", "model") if len(study.names[axis]) > 1]
    order = {bias: place for place, bias in enumerate(study.biases)}
    for cell, pool, failed in sorted(
        zip(sampled, pools, failures, strict=True), key=lambda entry: order[entry[0]["bias"]]
    ):
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
            shown.append(
                {
                    "head": " · ".join(filter(None, told)),
                    "text": words.shown(row["text"]),
                    "prompt": words.shown(row.get("prompt") or ""),
                }
            )
        for row in files.read_jsonl(failed)[:1]:
            reason = words.REASONS.get(row["reason"], row["reason"].replace("-", " "))
            shown.append(
                {
                    "head": f"Turned down: {reason}",
                    "text": words.shown(row["raw_text"], 400),
                    "prompt": words.shown(row.get("prompt") or ""),
                }
            )
        places = [study.names[axis][cell[axis]]["title"] for axis in several]
        found.append(
            {
                "id": parts.name_of("sample", *cell.values()),
                "title": " · ".join([bias["title"], *places]),
                "does": bias["does"][0].upper() + bias["does"][1:],
                "samples": shown,
            }
        )
    return found


def provenance_table(study, cards, checked, declared, digest):
    """What ran where, what its results were held against, and the digests that the report stands on."""
    import pandas as pd

    commits = {
        f"{job['git']['commit']}{'' if job['git']['clean'] else ' with uncommitted changes'}"
        for job in study.jobs
        if job.get("git")
    }
    environments = {
        f"Python {job['environment']['python']}; "
        + ", ".join(f"{name} {version}" for name, version in job["environment"]["packages"].items() if version)
        for job in study.jobs
    }
    locks = {job["environment"]["lock_sha256"] for job in study.jobs} - {None}
    containers = {job["environment"]["container_sha256"] for job in study.jobs} - {None}
    machines = {
        f"{job['machine']['cpu']}, {words.counted(job['machine']['cores'], 'core')}, {job['machine']['gpu'] or 'no GPU'}"
        for job in study.jobs
    }
    rows = [
        ["Digest of everything upstream", digest],
        ["Records", words.count(len(study.jobs))],
        *[[f"Checked: {row.check}", f"{row.looked_at}: {row.found}"] for row in pd.read_csv(checked).itertuples()],
        ["Claims as declared, sha256", provenance.sha256(declared)],
        ["Commit", "; ".join(sorted(commits)) or "not in a checkout"],
        *[
            [f"Model {card['model']}", f"revision {card['revision']}, {card['form'] or 'behind a server'}"]
            for card in map(files.read_json, cards)
        ],
        ["Environment", "; ".join(sorted(environments)) or "–"],
        ["Lock file, sha256", "; ".join(sorted(locks)) or "none"],
        ["Container, sha256", "; ".join(sorted(containers)) or "none: steps ran on the host"],
        ["Machine", "; ".join(sorted(machines)) or "–"],
    ]
    return parts.table("What this report stands on.", ["What", "Value"], rows)


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
