"""Instruction following: short requests written for the project, each with rules that can be verified automatically.

This measures utility, not bias: it detects mitigations that damage instruction following. Verifiable rules need no judge
model (the idea of IFEval, Zhou et al. 2023, arXiv 2311.07911).
"""

import json
import re

from bias_inheritance.plumbing import files
from bias_inheritance.plumbing.errors import UserError
from bias_inheritance.plumbing.provenance import ROOT
from bias_inheritance.tasks import metrics


def _is_json(text, keys):
    try:
        return set(keys) <= json.loads(text).keys()
    except (ValueError, AttributeError):
        return False


# {rule: predicate (answer, argument)}
RULES = {
    "contains": lambda text, words: all(word.casefold() in text.casefold() for word in words),
    "contains_any": lambda text, words: any(word.casefold() in text.casefold() for word in words),
    "lacks": lambda text, words: not any(word.casefold() in text.casefold() for word in words),
    "only": lambda text, words: text.strip(" .!\n\"'").casefold() in [word.casefold() for word in words],
    "most_words": lambda text, count: len(text.split()) <= count,
    "fewest_words": lambda text, count: len(text.split()) >= count,
    "lines": lambda text, count: len([line for line in text.splitlines() if line.strip()]) == count,
    "begins": lambda text, start: text.startswith(start),
    "ends": lambda text, end: text.endswith(end),
    "case": lambda text, case: text == getattr(text, case)(),
    "matches": lambda text, pattern: re.search(pattern, text) is not None,
    "json_with": _is_json,
}


def items(task, domain, family, test, count):
    """One item per request, the first `count` of the file. Raises UserError for an unknown rule."""
    for row in files.read_jsonl(ROOT / task["requests"], required=("id", "prompt", "rules"))[:count]:
        unknown = sorted(row["rules"].keys() - RULES.keys())
        if unknown:
            raise UserError(f"{task['requests']}: {row['id']}: no rule {unknown[0]!r}; there are {', '.join(RULES)}")
        yield {
            "item": row["id"],
            "cluster": row["id"],
            "group": "all",
            "prompt": row["prompt"],
            "max_new_tokens": task["max_new_tokens"],
            "rules": json.dumps(row["rules"], sort_keys=True),
        }


def kept(item):
    """{rule: whether the generated answer satisfies it}; an empty answer satisfies none."""
    text = (item["text"] or "").strip()
    return {rule: bool(text) and RULES[rule](text, value) for rule, value in json.loads(item["rules"]).items()}


def score(predictions, task, domain, replicates, seed):
    """`followed_share`, the share of requests with all rules satisfied, and `rules_kept_share`, the mean share of satisfied
    rules per request. An empty answer satisfies none and counts as a parse failure."""
    import numpy as np

    checked = [kept(item) for item in predictions]
    empty = sum(not (item["text"] or "").strip() for item in predictions)
    everyone = np.ones(len(predictions), dtype=bool)
    weights = metrics.resamples([item["cluster"] for item in predictions], everyone, replicates, seed)
    measures = {
        "followed_share": np.array([float(all(rules.values())) for rules in checked]),
        "rules_kept_share": np.array([np.mean(list(rules.values())) for rules in checked]),
    }
    return [
        metrics.mean_row(metric, "all", values, weights, everyone, n_unparsed=empty, scoring="parsed")
        for metric, values in measures.items()
    ]
