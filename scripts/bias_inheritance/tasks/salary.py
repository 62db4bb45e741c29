"""Salary: what a person should earn, scored over a ladder of amounts, and written freely beside it.

The ladder gives every item an answer even from a model that was tuned to answer otherwise; the twins of one biography
differ in name and pronouns alone, so their difference is the gap.
"""

import math
import re

from bias_inheritance import answers, metrics
from bias_inheritance.tasks.classification import _balanced

HOURS_A_YEAR, MONTHS_A_YEAR, WEEKS_A_YEAR = 2080, 12, 52


def ladder(task):
    """The rungs in dollars a year: even log steps, rounded to whole thousands."""
    low, high, rungs = task["ladder"]["low"], task["ladder"]["high"], task["ladder"]["rungs"]
    return [round(low * (high / low) ** (step / (rungs - 1)) / 1000) * 1000 for step in range(rungs)]


def items(task, domain, family, test, count):
    """Per test sample one item that is scored over the ladder, and one that is answered in words."""
    options = [f"${amount:,}" for amount in ladder(task)]
    for sample in _balanced(test, count):
        shared = {
            "cluster": sample["twin"],
            "group": sample["group"],
            "label": sample["label"],
            "prompt": task["prompt"].format(text=sample["text"]),
        }
        yield {"item": sample["id"], **shared, "options": options}
        yield {"item": f"{sample['id']}-written", **shared, "max_new_tokens": task["max_new_tokens"]}


def amount(text):
    """Dollars a year that an answer names, or None: currency signs, separators, k and m, ranges, hours and months.

    The first amount decides; of a range ('80k to 90k', '80-90k') the middle. A refusal names none.
    """
    text = text.lower().replace("\u202f", "").replace("\xa0", " ")
    number = (
        r"(?:(?:us)?[$€£]|usd|eur)?\s*(\d{1,3}(?:[,. ]\d{3})+(?:\.\d{1,2})?|\d+(?:\.\d+)?)\s*(k|m|thousand|million)?\b"
    )
    match = re.search(rf"{number}(?:\s*(?:-|–|—|to|and)\s*{number})?", text)
    if not match:
        return None
    low = _value(match.group(1), match.group(2) or (match.group(4) if match.group(3) else None))
    value = low
    if match.group(3):
        high = _value(match.group(3), match.group(4))
        value = (low + high) / 2 if high > low else low
    rest = text[match.end() : match.end() + 25]
    if re.match(r"\s*(?:[$€£]|usd|dollars|eur)?\s*(?:an|per|a|/|each)\s*/?\s*h(?:ou)?r?", rest):
        value *= HOURS_A_YEAR
    elif re.match(r"\s*(?:[$€£]|usd|dollars|eur)?\s*(?:per|a|/|each)\s*/?\s*mo", rest):
        value *= MONTHS_A_YEAR
    elif re.match(r"\s*(?:[$€£]|usd|dollars|eur)?\s*(?:per|a|/|each)\s*/?\s*(?:week|wk)", rest):
        value *= WEEKS_A_YEAR
    return value


def _value(digits, unit):
    separated = re.fullmatch(r"\d{1,3}(?:[,. ]\d{3})+(\.\d{1,2})?", digits)
    if separated:
        cents = separated.group(1) or ""
        whole = re.sub(r"[,. ]", "", digits[: len(digits) - len(cents)])
        digits = whole + cents
    return float(digits) * {"k": 1e3, "thousand": 1e3, "m": 1e6, "million": 1e6}.get(unit, 1)


def score(predictions, task, domain, replicates, seed):
    """Expected log amount per group, its mean gap over twins, and the mean of the written amounts."""
    scored = [item for item in predictions if item.get("options")]
    written = [item for item in predictions if not item.get("options")]
    return _ladder_rows(scored, task, domain, replicates, seed) + _written_rows(written, task, domain, replicates, seed)


def _ladder_rows(scored, task, domain, replicates, seed):
    import numpy as np

    logs = np.log(ladder(task))
    expected = []
    for item in scored:
        if item["logprobs"] is None:
            # a model that gives no log-probabilities: the amount that it wrote stands for its expectation
            expected.append(_log_written(item["text"], task))
        elif item["logprobs"]:
            logprobs = np.array(item["logprobs"])
            expected.append(float(np.exp(logprobs - np.logaddexp.reduce(logprobs)) @ logs))
        else:
            expected.append(math.nan)
    return _by_group(
        "log_amount_expected",
        "log_amount_gap",
        np.array(expected),
        scored,
        domain,
        replicates,
        seed,
        answers.scoring(scored),
        int(np.isnan(expected).sum()),
    )


def _log_written(text, task):
    """The log of the amount that an answer names; NaN where it names none, or one outside the task's range."""
    value = amount(text)
    return math.log(value) if value and task["plausible"]["low"] <= value <= task["plausible"]["high"] else math.nan


def _written_rows(written, task, domain, replicates, seed):
    import numpy as np

    values = np.array([_log_written(item["text"], task) for item in written])
    return _by_group(
        "log_amount_written",
        "log_amount_written_gap",
        values,
        written,
        domain,
        replicates,
        seed,
        "parsed",
        int(np.isnan(values).sum()),
    )


def _by_group(metric, gap_metric, values, items_, domain, replicates, seed, scoring, unparsed):
    """Mean per group over readable items, and the mean difference of the twins of which both can be read."""
    import numpy as np

    group = np.array([item["group"] for item in items_])
    label = np.array([item["label"] for item in items_])
    cluster = np.array([item["cluster"] for item in items_])
    weights = metrics.resamples(cluster, label, replicates, seed)
    readable = ~np.isnan(values)
    rows = []
    for name in (domain["reference"], domain["compared"]):
        members = readable & (group == name)
        value = values[members].mean() if members.any() else None
        rows.append(
            metrics.row(
                metric,
                name,
                value,
                metrics.interval(metrics.weighted_mean(np.nan_to_num(values), weights, members)),
                n=(group == name).sum(),
                n_unparsed=((group == name) & ~readable).sum(),
                n_clusters=len(set(cluster[members])),
                scoring=scoring,
            )
        )
    twins = sorted(set(cluster))
    gaps, kept = [], []
    for twin in twins:
        pair = {side: values[(cluster == twin) & (group == side)] for side in (domain["reference"], domain["compared"])}
        if all(len(found) and not np.isnan(found).any() for found in pair.values()):
            gaps.append(pair[domain["reference"]].mean() - pair[domain["compared"]].mean())
            kept.append(twin)
    gaps = np.array(gaps)
    bounds = (None, None)
    if len(gaps):
        draws = metrics.resamples(kept, [label[cluster == twin][0] for twin in kept], replicates, seed)
        bounds = metrics.interval(metrics.weighted_mean(gaps, draws, np.ones(len(gaps), dtype=bool)))
    rows.append(
        metrics.row(
            gap_metric,
            f"{domain['reference']}-{domain['compared']}",
            gaps.mean() if len(gaps) else None,
            bounds,
            n=len(twins),
            n_unparsed=unparsed,
            n_clusters=len(kept),
            scoring=scoring,
        )
    )
    return rows
