"""Formatting of numbers, metrics and lists in the report."""

import unicodedata

LONGEST_SAMPLE = 900  # maximum characters shown of a text
MOST_NAMES = 4  # maximum names in a sentence
MOST_ROWS = 12  # maximum row numbers listed; further ones are counted

# metric: (title, unit of its axis); in order of preference, continuous metrics before those that change by whole items
METRICS = {
    "label_probability": ("Label probability", "probability"),
    "congruence": ("Label probability, congruent − incongruent", "probability"),
    "stereotype_gap": ("Probability of the stereotyped answer − of the other group's", "probability"),
    "stereotype_log_odds": ("Log-odds of the more stereotyped sentence", "log units"),
    "stereotyped_share": ("Stereotyped answers", "share"),
    "log_perplexity": ("Log-perplexity", "nats per token"),
    "followed_share": ("Instructions followed", "share of requests"),
    "log_amount_gap": ("Gap of the expected amount", "log units, 0.01 ≈ 1%"),
    "log_amount_expected": ("Expected amount", "log units"),
    "negative_share": ("Negative traits", "share of trait words"),
    "macro_f1": ("Macro-F1", "macro-F1"),
    "accuracy": ("Accuracy", "share of items"),
    "log_amount_written_gap": ("Gap of the written amount", "log units, 0.01 ≈ 1%"),
    "rms_tpr_gap": ("RMS gap of true-positive rates, minus its mean under permutation", "share of items"),
    "similarity": ("Similarity of values", "1 − Jensen–Shannon distance"),
    "similarity_gain": ("Similarity minus that of uniform answers", "change of similarity"),
    "drift": ("Similarity minus that of the untuned model", "change of similarity"),
    "mmd": ("MMD², sentence embeddings", "MMD²"),
    "auc": ("Classifier two-sample test, sentence embeddings", "AUC, 0.5 is chance"),
    "hidden_mmd": ("MMD², hidden states of the model", "MMD²"),
    "hidden_auc": ("Classifier two-sample test, hidden states", "AUC, 0.5 is chance"),
    "hidden_mmd_change": ("Change of MMD² under the mitigation, hidden states", "change of MMD²"),
    "hidden_mean_distance_change": ("Change of the distance between the means, hidden states", "distance"),
    "distinct_1": ("Distinct words", "share of 500"),
    "distinct_2": ("Distinct word pairs", "share of 500"),
    "distinct_3": ("Distinct word triples", "share of 500"),
    "mean_words": ("Length of the texts", "words"),
    "training_samples": ("Training samples", "samples"),
    "realised_gamma": ("Realised γ", "share of augmented samples"),
    "macro_f1_second_prompt": ("Macro-F1, asked for one-word labels", "macro-F1"),
}
EFFECTS = {
    "augmentation": "augmentation (minus originals alone)",
    "natural": "natural inheritance (minus as much real text)",
    "slant": "slant (minus the balanced baseline)",
    "dose": "dose (minus dose 0)",
}
KINDS = {"beta": "β", "projection": "projection"}  # of inheritance.csv
ROLES = {
    "bias-type": "bias type",
    "baseline": "baseline",
    "natural": "natural pool",
    "negative-control": "negative control",
    "positive-control": "positive control",
    "probe": "probe",
}
MARKS = {
    "supported": "●",
    "contradicted": "✕",
    "equivalent": "≈",
    "inconclusive": "○",
    "not tested": "–",
    "beside": "·",
}


def metric_title(metric):
    return METRICS[metric][0] if metric in METRICS else sentence(metric.replace("_", " "))


def metric_phrase(metric):
    """A metric's title within a sentence; abbreviations keep their capitals."""
    title = metric_title(metric)
    return title if title[:2].isupper() else title[:1].lower() + title[1:]


def metric_unit(metric):
    return METRICS[metric][1] if metric in METRICS else metric.replace("_", " ")


def known(value):
    return value is not None and value == value


def number(value, digits=3, sign=False):
    """A number with a typographic minus sign and fixed decimals; a dash if undefined."""
    if not known(value):
        return "–"
    text = f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}"
    return (text if float(text) else text.lstrip("+-")).replace("-", "−")


def interval(low, high, digits=3):
    """'low to high'; a dash where there is no interval, or one without width, which no resampling gave.

    An end that would be rounded to 0 gets one more digit, since its sign tells whether the interval excludes 0.
    """
    if not known(low) or not known(high) or low == high:
        return "–"
    if any(round(end, digits) == 0 != round(end, digits + 1) for end in (low, high)):
        digits += 1
    return f"{number(low, digits)} to {number(high, digits)}"


def p_value(p):
    return "–" if not known(p) else "< 0.001" if p < 0.001 else f"{p:.3f}"


def percent(share):
    return "–" if not known(share) else f"{100 * share:.0f}%"


def count(value):
    """A whole number with thin spaces between thousands."""
    return f"{int(value):,}".replace(",", "\u202f") if known(value) else "–"


def counted(n, one):
    """'1 seed', '3 seeds'."""
    return f"{count(n)} {one}{'' if n == 1 else 's'}"


def duration(seconds):
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def memory(size):
    return f"{size / 2**30:.1f} GB" if size >= 2**30 else f"{size / 2**20:.0f} MB"


def greek(text):
    """Text with gamma, as in the tables, replaced by γ."""
    return text.replace("gamma", "γ")


def sentence(text):
    return text[:1].upper() + text[1:]


def listed(items):
    """'a', 'a and b', 'a, b and c'."""
    items = list(items)
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)


def some(items):
    """`listed`, with items beyond MOST_NAMES replaced by their number."""
    shown = MOST_NAMES - 1
    return listed(items if len(items) <= MOST_NAMES else [*items[:shown], f"{len(items) - shown} others"])


def rows_named(rows):
    """'3', '3, 17', '3, 17 and 20 more': rows of a table, row 1 the first below its header."""
    rows = [str(int(row)) for row in rows]
    more = len(rows) - MOST_ROWS
    return ", ".join(rows[:MOST_ROWS]) + (f" and {more} more" if more > 0 else "")


def visible(text, longest=LONGEST_SAMPLE):
    """A text that is safe to show: control and direction characters replaced, long texts truncated."""
    kept = "".join(
        character if character == "\n" or unicodedata.category(character) not in ("Cc", "Cf", "Co", "Cs") else "\ufffd"
        for character in str(text)
    )
    return kept if len(kept) <= longest else kept[:longest].rstrip() + " …"


# displayed form of the values of a column
TITLES = {
    "metric": metric_title,
    "misalignment": metric_title,
    "measure": lambda value: sentence(value.replace("_", " ")),
    "effect": lambda value: EFFECTS.get(value, value),
    "kind": lambda value: KINDS.get(value, value),
    "gamma": lambda value: f"{value:.2f}",
    "contrast": lambda value: value.replace("-", " − "),
    "outcome": lambda value: value.replace("-", " ").replace("_", " "),
    "predictor": lambda value: sentence(value.replace("_", " ")),
    "passed": lambda value: {"true": "passed", "false": "failed"}.get(str(value).lower(), "not checked"),
    "role": lambda value: ROLES[value],
}
