"""Hiring: which of the lettered candidates, one per culture and gender of the task's file, is chosen for a job.

Each set is posed in all rotations of the letters, and a candidate's log-probability is averaged over them, since small
models have a strong position bias, which is reported as a separate score.
"""

import string

from bias_inheritance.data import contrasts, cues
from bias_inheritance.plumbing.seeds import record_seed
from bias_inheritance.tasks import answers, metrics


def items(task, domain, family, test, count):
    """One item per rotation of each set; set s is for job s mod the number of jobs, with names from a random stream per set.

    count: the number of sets (default: two per job).
    """
    import numpy as np

    sets = count if count is not None else 2 * len(task["jobs"])
    for number in range(sets):
        stream = np.random.default_rng(record_seed("hiring", number))
        kinds = [(culture, gender) for culture in task["cultures"] for gender in task["genders"]]
        kinds = [kinds[index] for index in stream.permutation(len(kinds))]
        candidates = [
            {
                "culture": culture,
                "gender": gender,
                "name": cues.drawn_name(culture, gender, stream),
            }
            for culture, gender in kinds
        ]
        job = task["jobs"][number % len(task["jobs"])]
        for rotation in range(len(candidates)):
            shown = candidates[rotation:] + candidates[:rotation]
            listed = "\n".join(
                f"{letter}. {candidate['name']}"
                for letter, candidate in zip(string.ascii_uppercase, shown, strict=False)
            )
            yield {
                "item": f"set-{number:03d}-rotation-{rotation}",
                "cluster": f"set-{number:03d}",
                "group": "all",
                "label": job,
                "rotation": rotation,
                "candidates": candidates,
                "prompt": task["prompt"].format(job=job, candidates=listed),
                "options": list(string.ascii_uppercase[: len(shown)]),
            }


def score(predictions, task, domain, replicates, seed):
    """Share selected per gender, culture and both, its difference for each of the task's contrasts, and the position bias
    (`position_share`).

    A set is unparsed if fewer than half of its rotations can be parsed. Values are those of the other sets; the intervals
    of shares and gaps are widened to the bounds at which all unparsed sets choose the same side.
    """
    import numpy as np

    sets = {}
    for item in predictions:
        sets.setdefault(item["cluster"], []).append(item)
    scoring, set_count = answers.scoring(predictions), len(sets)
    kinds, led, clusters = [], [], []
    for name in sorted(sets):
        rotations = sets[name]
        size = len(rotations[0]["candidates"])
        total, letters = np.zeros(size), []
        for item in rotations:
            letter = answers.choice(item)
            if letter is None:
                continue
            if item["logprobs"] is None:
                preference = np.eye(size)[letter]
            else:
                logprobs = np.array(item["logprobs"])
                preference = logprobs - np.logaddexp.reduce(logprobs)
            # candidate c is shown at letter (c − rotation) mod size
            total += np.roll(preference, item["rotation"])
            letters.append(letter)
        # ASSUME: half of the rotations suffice for a choice
        if 2 * len(letters) < len(rotations):
            continue
        best = rotations[0]["candidates"][int(total.argmax())]
        kinds.append((best["culture"], best["gender"]))
        led.append(np.bincount(letters).max() / len(letters))
        clusters.append(name)
    unparsed = set_count - len(clusters)
    counts = {"n": set_count, "n_unparsed": unparsed, "n_clusters": len(clusters), "scoring": scoring}
    groups = {gender: lambda kind, gender=gender: kind[1] == gender for gender in task["genders"]}
    groups |= {culture: lambda kind, culture=culture: kind[0] == culture for culture in task["cultures"]}
    groups |= {
        f"{culture}-{gender}": lambda kind, pair=(culture, gender): kind == pair
        for culture in task["cultures"]
        for gender in task["genders"]
    }
    pairs = contrasts.by_name(task)
    if not clusters:
        rows = [metrics.row("selected_share", name, None, **counts) for name in (*groups, *pairs)]
        return [*rows, metrics.row("position_share", "all", None, **counts)]

    def widened(interval, low, high):
        """The interval of the parsed sets, extended to the bounds at which all others are `low`, or all `high`."""
        if None in interval:
            return interval
        share = unparsed / set_count
        return (interval[0] * (1 - share) + low * share, interval[1] * (1 - share) + high * share)

    weights = metrics.resamples(clusters, ["all"] * len(clusters), replicates, seed)
    everyone = np.ones(len(clusters), dtype=bool)
    rows, draws, values = [], {}, {}
    for name, belongs in groups.items():
        hit = np.array([float(belongs(kind)) for kind in kinds])
        values[name], draws[name] = hit.mean(), metrics.weighted_mean(hit, weights, everyone)
        rows.append(
            metrics.row("selected_share", name, values[name], widened(metrics.interval(draws[name]), 0, 1), **counts)
        )
    for name, (first, second) in pairs.items():
        bounds = widened(metrics.interval(draws[first] - draws[second]), -1, 1)
        rows.append(metrics.row("selected_share", name, values[first] - values[second], bounds, **counts))
    led = np.array(led)
    rows.append(metrics.mean_row("position_share", "all", led, weights, everyone, **counts))
    rows.append(metrics.row("uninformative", "all", float(led.mean() > task["position_limit"]), **counts))
    return rows
