"""How things are called and written in the report: metrics, groups, numbers, and the links from a number to its rows."""

import math
import unicodedata

from markupsafe import Markup, escape

LONGEST_LIST = 24  # rows that a link names; more are summed up
LONGEST_SAMPLE = 900  # characters of a generated text that are shown

# metric: (name, unit of its axis)
METRICS = {
    "accuracy": ("Accuracy", "share of items"),
    "label_probability": ("Probability of the right label", "probability"),
    "congruence": ("Stereotype congruence", "probability of the right label, congruent − incongruent"),
    "macro_f1": ("Macro-F1", "macro-F1"),
    "selected_share": ("Share selected", "share of choices"),
    "log_amount_expected": ("Expected salary", "log dollars"),
    "log_amount_gap": ("Salary gap of the twins", "log dollars, 0.01 ≈ 1%"),
    "log_amount_written": ("Written salary", "log dollars"),
    "log_amount_written_gap": ("Written salary gap", "log dollars, 0.01 ≈ 1%"),
    "rms_tpr_gap": ("RMS gap of true-positive rates, minus its mean under permutation", "share of items"),
    "predicted_share": ("Share predicted", "share of answers"),
    "negative_share": ("Share of negative traits", "share of trait words"),
    "male_share": ("Share of men", "share of texts"),
    "similarity": ("Similarity of values", "1 − Jensen–Shannon distance"),
    "similarity_gain": ("Similarity minus that of even answers", "change of similarity"),
    "drift": ("Similarity minus the untuned model's", "change of similarity"),
    "perplexity": ("Perplexity of unseen originals", "perplexity"),
    "mmd": ("Squared maximum mean discrepancy, sentence embeddings", "MMD²"),
    "auc": ("Telling the origins apart, sentence embeddings", "AUC, 0.5 is chance"),
    "hidden_mmd": ("Squared maximum mean discrepancy, the model's own states", "MMD²"),
    "hidden_auc": ("Telling the origins apart, the model's own states", "AUC, 0.5 is chance"),
    "distinct_2": ("Distinct word pairs", "share of 500"),
    "mean_words": ("Length of the texts", "words"),
    "rejected_share": ("Rejected texts", "share of those asked for"),
    "duplicate_share": ("Duplicates", "share of those asked for"),
}

STEPS = {
    "prepare_model": "Prepare the model",
    "prepare_originals": "Prepare the originals",
    "draw_originals": "Draw the originals",
    "prepare_items": "Prepare the test items",
    "write_pool": "Write the pools",
    "copy_pool": "Copy the controls' pools",
    "mix": "Mix",
    "finetune": "Fine-tune",
    "predict": "Predict",
    "score": "Score",
    "gather_scores": "Gather the scores",
    "check_manipulation": "Check the manipulation",
    "analyse": "Analyse",
    "write_config": "Resolve the configuration",
    "prepare_embedder": "Prepare the embedder",
    "prepare_opinions": "Prepare the opinion questions",
    "compare_pool": "Compare the pools with originals",
    "measure_values": "Measure values",
    "measure_groups": "Measure groups",
    "measure_distributions": "Measure distributions",
    "relate_misalignment": "Relate misalignment to effects",
    "measure_quality": "Measure quality over rounds",
}

REASONS = {
    "empty": "empty",
    "truncated": "truncated",
    "wrong-group": "about the wrong group",
    "duplicate": "duplicate",
    "refusal": "refusal",
}

RELATIONS = {
    "direct": "Directly bias-related tasks",
    "indirect": "Indirectly bias-related tasks",
    "none": "Tasks that say nothing of bias",
}
TRACEABLE = ("scores.csv", "claims.csv")  # tables whose rows trace.py follows

VERDICTS = {
    "supported": ("●", "supported"),
    "contradicted": ("✕", "contradicted"),
    "equivalent": ("≈", "equivalent: no effect that matters"),
    "inconclusive": ("○", "inconclusive"),
    "not tested": ("–", "not tested"),
    "beside": ("·", "beside, decides nothing"),
}


def metric_name(metric):
    return METRICS[metric][0] if metric in METRICS else metric.replace("_", " ").capitalize()


def metric_unit(metric):
    return METRICS[metric][1] if metric in METRICS else metric.replace("_", " ")


def group_name(group, gap=None):
    """A group in words; `gap` is the group that is a difference, reference-compared."""
    if gap and group.endswith(gap):
        first, _, second = gap.partition("-")
        label = group[: -len(gap)].rstrip(":")
        return f"{label}, {first} − {second}" if label else f"{first} − {second}"
    return group.replace("-", " ")


def known(value):
    return value is not None and value == value


def number(value, digits=3, sign=False):
    """A number with a true minus and a fixed count of decimals; a dash where there is none."""
    if not known(value):
        return "–"
    text = f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}"
    if not float(text):
        text = text.lstrip("+-")
    return text.replace("-", "−")


def interval(low, high, digits=3):
    return f"{number(low, digits)} to {number(high, digits)}" if known(low) and known(high) else "no interval"


def p_value(p):
    return "–" if not known(p) else "< 0.001" if p < 0.001 else f"{p:.3f}"


def percent(share):
    return "–" if not known(share) else f"{100 * share:.0f}%"


def count(value):
    """A whole number with thin spaces between thousands."""
    return f"{int(value):,}".replace(",", "\u202f")


def duration(seconds):
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def memory(size):
    return f"{size / 2**30:.1f} GB" if size >= 2**30 else f"{size / 2**20:.0f} MB"


def counted(n, one, many=None):
    """'1 seed', '3 seeds'."""
    return f"{count(n)} {one if n == 1 else many or one + 's'}"


def greek(text):
    """The tables write gamma, the page γ."""
    return text.replace("gamma", "γ")


def listed(words):
    """'a', 'a and b', 'a, b and c'."""
    words = list(words)
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def shown(text, longest=LONGEST_SAMPLE):
    """Generated text as it may be shown: control and direction characters made visible, long texts cut."""
    seen = "".join(
        character if character == "\n" or unicodedata.category(character) not in ("Cc", "Cf", "Co", "Cs") else "\ufffd"
        for character in text
    )
    return seen if len(seen) <= longest else seen[:longest].rstrip() + " …"


# Rows: "12,58" are rows of a table, "12,58|40,90" rows minus the rows of their controls. Row 1 is the first below the header.


def rows_in_words(file, rows):
    """'scores.csv rows 12, 58 minus row 40'; what `shorter` left out is 'and 6 more'."""

    def side(part):
        named = [f"and {row[1:]} more" if row.startswith("+") else row for row in part.split(",")]
        return f"row{'s' if len(named) > 1 else ''} {', '.join(named)}"

    return f"{file} {' minus '.join(map(side, rows.split('|')))}"


class Source:
    """Turns a number into a link to its rows, for one study."""

    def __init__(self, study):
        self.folder = f"results/{study}"

    def command(self, file, rows):
        row = f" --row {rows.replace('|', ',').split(',')[0]}" if file in TRACEABLE else ""
        return f".venv/bin/python scripts/trace.py {self.folder}/{file}{row}"

    def link(self, text, file, rows):
        """A link whose address names the rows; a click shows them, a pointer too, and print keeps the text."""
        if not rows:
            return escape(text)
        rows = shorter(rows)
        title = f"{rows_in_words(file, rows)} · trace: {self.command(file, rows)}"
        return Markup('<a class="n" href="#{}:{}" title="{}">{}</a>').format(file, rows, title, text)

    def brief(self, text, file, rows):
        """As `link`, for long tables that name the rows in a column: without the pointer's text."""
        return Markup('<a class="n" href="#{}:{}">{}</a>').format(file, shorter(rows), text) if rows else escape(text)


def shorter(rows):
    """At most LONGEST_LIST rows on each side; the rest becomes '+N'."""
    parts = [part.split(",") for part in rows.split("|")]
    return "|".join(
        ",".join(part[:LONGEST_LIST]) + (f",+{len(part) - LONGEST_LIST}" if len(part) > LONGEST_LIST else "")
        for part in parts
    )


def forest(estimate, low, high, margin, reach):
    """A small drawing of an estimate with its interval and the margin of equivalence, on a scale of ±reach; or nothing."""
    if not known(estimate) or not reach:
        return ""
    width, height, middle = 160, 18, 9

    def x(value):
        return round(width / 2 * (1 + max(-1.0, min(1.0, value / reach))), 1)

    parts = [
        Markup('<rect x="{}" y="1" width="{}" height="{}" class="margin"/>').format(
            x(-margin), round(x(margin) - x(-margin), 1), height - 2
        )
        if known(margin)
        else "",
        Markup('<line x1="{0}" x2="{0}" y1="0" y2="{1}" class="zero"/>').format(width / 2, height),
    ]
    if known(low) and known(high):
        parts.append(Markup('<line x1="{}" x2="{}" y1="{y}" y2="{y}" class="ci"/>').format(x(low), x(high), y=middle))
        for value, beyond, sign in ((low, low < -reach, 1), (high, high > reach, -1)):
            if beyond:  # an arrow where the interval runs off the scale
                parts.append(Markup('<path d="M{} {}l{} -4v8z" class="tip"/>').format(x(value), middle, 5 * sign))
    parts.append(Markup('<circle cx="{}" cy="{}" r="3.5" class="estimate"/>').format(x(estimate), middle))
    words = f"estimate {number(estimate)}, interval {interval(low, high)}, scale from {number(-reach, 2)} to {number(reach, 2)}"
    return Markup('<svg class="forest" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        width, height, words, Markup("").join(parts)
    )


def nice_reach(values):
    """The half-width of a scale that holds most of `values`: the next 1, 2 or 5 times a power of ten."""
    largest = max((abs(value) for value in values if known(value)), default=0.0)
    if not largest:
        return 0.0
    power = 10 ** math.floor(math.log10(largest))
    return next(step * power for step in (1, 2, 5, 10) if largest <= step * power * 1.0001)
