"""From claims to tests: the contrasts that apply to a study, and the deciding test of each.

A paired t test over the seeds determines the verdict (docs/statistics.md); correlations over bias types use a permutation
test. p is adjusted by Holm's method within the declared family, which determines the verdict, and over all tests of the
study (p_study).
"""

from itertools import product

from bias_inheritance.claims.contrasts import (
    ANY_MITIGATION,
    NotTested,
    NotTestedYet,
    failed_in,
    failed_pools,
    group_names,
    label_of,
    rank_correlation,
    seed_values,
    select,
    selectors_of,
)
from bias_inheritance.claims.frames import KEYS, failed_manipulation
from bias_inheritance.claims.looks import boundaries, level, overall
from bias_inheritance.stats import statistics
from bias_inheritance.study.declarations import PLACEHOLDERS, defaults, model_of, outcomes_of, with_values

SEED_TEST = "paired t over seeds"
RANK_TEST = "permutation of bias types"
RANK_OVER_SEEDS = "t over seeds, these bias types only"


def studies_of(declared, scores, manipulation):
    """One dict per model: model, label ("" for a single model), scores, types, failed manipulations by domain, fitted models.

    Text columns of the scores are categorical: they are compared hundreds of times.
    """
    texts = {column: "category" for column in KEYS if scores[column].dtype == "str"}
    runs = scores[scores["bias"] != "untuned"].astype(texts)
    studies = []
    groups = list(runs.groupby("model")) or [("", runs)]
    for model, rows in groups:
        label = f" [{model}]" if len(groups) > 1 else ""
        failed = {
            domain: failed_manipulation(manipulation, model, domain, declared["types"])
            for domain in rows["domain"].unique()
        }
        studies.append(
            {"model": model, "label": label, "scores": rows, "types": declared["types"], "failed": failed, "fits": {}}
        )
    return studies


def plan(declared, study, studies):
    """The seed-level tests of one study: one per contrast, value of `each`, and group or pair of groups in its name.

    A claim that lists models is tested for these only; if the study has none of them, once, to report that.
    """
    tests = []
    for claim, entry in declared["claims"].items():
        models = entry.get("models", [model_of(study["model"])])
        with_model = [other for other in studies if model_of(other["model"]) in models] or studies[:1]
        if not any(study is other for other in with_model):
            continue
        for contrast in entry["contrasts"]:
            spec = defaults(contrast) | {"models": models}
            if "rule" in spec:
                continue
            choices = [
                [(key, value) for value in each_value(key, value, study, declared)]
                for key, value in spec.get("each", {}).items()
            ]
            for *choice, picked in product(*choices, named_groups(spec, declared, study)):
                values = dict(choice)
                key = spec["name"].format(**values, **picked) + study["label"]
                of_types = spec["biases"] == "types" and "biases" not in values
                tests.append(
                    {
                        "claim": claim,
                        "contrast": key + (types_label(spec, declared, study) if of_types else ""),
                        # a type that fails its manipulation check at one look may pass it at another
                        "labels": [key, *(f"{key} ({bias})" for bias in declared["types"] if of_types)],
                        "spec": with_values(spec, values) | {"picked": picked},
                        "study": study,
                        "family": spec.get("family", claim),
                        "picked": values,
                    }
                )
    return tests


def named_groups(spec, declared, study):
    """[{placeholder: name}] for each row of a contrast: one per group or pair of groups in its name for which the study has
    scores, or a single description if it has none."""
    open_ = [placeholder for placeholder in PLACEHOLDERS if f"{{{placeholder}}}" in spec["name"]]
    run = set(study["scores"]["domain"].unique())
    domains = {name: domain for name, domain in declared["domains"].items() if name in run}
    names = [each for domain in domains.values() for each in group_names(domain)]
    rows = []
    for values in dict.fromkeys(tuple(each[placeholder] for placeholder in open_) for each in names):
        picked = dict(zip(open_, values, strict=True))
        selectors = selectors_of(spec["outcome"], spec | {"picked": picked}, declared | {"domains": domains})
        if any(len(select(study["scores"], selector)) for selector in selectors):
            rows.append(picked)
    return rows or [{placeholder: PLACEHOLDERS[placeholder] for placeholder in open_}]


def each_value(key, values, study, declared):
    """The values of one key of `each` in this study.

    `types`: its bias types, if there are at least two. `natural`, `mitigations`: all of them, or a description if there are
    none. `files`: its pools from files. Pools by name: those that it has, without β's baseline, or all if it has none of
    them. Anything else: as listed.
    """
    present = set(study["scores"]["bias"].unique())
    if values == "types":
        types = [bias for bias in study["types"] if bias in present]
        return types if len(types) > 1 else []
    if values in ("natural", "files", "mitigations"):
        none = {"natural": ["any natural pool"], "files": [], "mitigations": [ANY_MITIGATION]}
        return declared[values] or none[values]
    if key != "biases":
        return values
    return [bias for bias in values if bias in present - {declared["real_text"]}] or values


def types_label(spec, declared, study):
    """The bias type in parentheses if a contrast over `types` covers a single one in this study (`chosen`), else ""."""
    selectors = [selector for outcome, _ in outcomes_of(spec) for selector in selectors_of(outcome, spec, declared)]
    domains = {domain for selector in selectors for domain in select(study["scores"], selector)["domain"].unique()}
    failed, runs = failed_in(domains, study), set(study["scores"]["bias"].unique())
    present = [bias for bias in study["types"] if bias in runs and not failed_pools(bias, spec, failed, declared)]
    return f" ({present[0]})" if len(present) == 1 else ""


def measure(test, declared):
    """The result of the deciding test of one planned contrast, or what is missing (`lacks`), also with further seeds
    (`untestable`)."""
    spec, study = test["spec"], test["study"]
    labels = [label_of(outcome, spec, declared) for outcome, _ in outcomes_of(spec)]
    row = {
        "metric": " - ".join([*labels, f"{spec['against']:g}"] if "against" in spec else labels),
        "test": RANK_TEST if "with" in spec else SEED_TEST,
        "margin": spec.get("margin", float("nan")),
        "declared": declared,
        "lacks": None,
        "untestable": False,
        "n_seeds": 0,
        "p_tost": float("nan"),
    }
    try:
        if model_of(study["model"]) not in spec["models"]:
            raise NotTested(f"The study has no model {' or '.join(spec['models'])}.")
        data = (rank_correlation if "with" in spec else seed_values)(spec, declared, study)
    except NotTested as missing:
        return row | {"lacks": str(missing), "untestable": not isinstance(missing, NotTestedYet)}
    result = statistics.seed_test(data["values"].to_numpy(), level(declared, declared["alpha"]))
    if "with" in spec:
        # with more seeds a t test becomes more certain of the order of these few types, even if it is due to chance
        result |= dict.fromkeys(("sd", "ci_low", "ci_high"), float("nan")) | {"p": data["p"]}
    else:
        low, high = data["reach"]
        result |= {key: min(max(result[key], low), high) for key in ("ci_low", "ci_high") if result[key] == result[key]}
        if "margin" in spec:
            row["p_tost"] = statistics.tost(data["values"].to_numpy(), spec["margin"])
    unread = data.get("unread", 0.0)
    return row | result | {"n_seeds": result["n"], "n_items": data["n_items"], "unread": unread, "data": data}


def adjust(tests, declared):
    """Add to every test p_overall and tost_overall (over all looks so far; without looks p and p_tost), p_adjusted,
    tost_adjusted and `tried` (Holm on them within its family, and the family's number of tests), p_study (Holm over all
    tests), and mde, the minimum detectable effect with the declared power at the family's first step.

    mde is NaN, and `beyond` true, if it exceeds the largest effect that the metric's scale allows. With looks, tests that
    an earlier look closed count in their family and are not changed.
    """
    tested = [test for test in tests if not test["lacks"]]
    for test in tested:
        test |= overall(test, declared)
    for test, value in zip(tested, statistics.holm([test["p_overall"] for test in tested]), strict=True):
        test["p_study"] = float(value)
    for family in dict.fromkeys(test["family"] for test in tested):
        members = [test for test in tested if test["family"] == family]
        for source, target in (("p_overall", "p_adjusted"), ("tost_overall", "tost_adjusted")):
            for test, value in zip(members, statistics.holm([test[source] for test in members]), strict=True):
                test[target] = float(value)
        boundaries(members, declared)
        tried = sum(test["p"] == test["p"] for test in members)
        alpha = level(declared, declared["alpha"] / max(1, tried))
        for test in [test for test in members if "closed" not in test]:
            mde = statistics.minimal_effect(test["sd"], test["n"], alpha, declared["power"])
            beyond = mde > max(map(abs, test["data"].get("reach", (float("inf"),))))
            test |= {"mde": float("nan") if beyond else mde, "beyond": beyond, "tried": tried}
