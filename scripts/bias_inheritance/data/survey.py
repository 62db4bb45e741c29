"""Values questions of one culture: originals and test texts, slots and checks of generated answers, training pairs.

A sample's text is a question with its answer scale, its label the number that the culture answers (study, section 3):
    Give me the answer from 1 to 4: Do you agree with STATEMENT? 1. Strongly agree … 4. Strongly disagree. …
A generated sample is one respondent's reason for an answer to a statement of the domain's file, then the question; its
label is the answer that was asked for, and what the generator wrote must not say another one.

ASSUME, what the groups and the controls mean here (the paper's prompts were not at hand):
- Every original speaks for the domain's own culture, the *compared* group; the *reference* group has generated samples
  alone. A pool is balanced over answer × group (study, section 2), so the slant is in the reasons, not in the answers.
- `neutral` asks why somebody gives an answer and names nobody. The explicit types name the respondent's culture, the
  implicit ones give a first name; the intersectional ones add gender and age; the contrastive ones set the other
  group's stereotype beside it. The line "Respondent: an Arab." or "Respondent: Ahmed." is written before the reason by
  rule: in a survey it is known who was asked. So a sample shows another group only where its reason outweighs that.
- `planted-…` gives the stated share of copies the most affirmative answer of their scale (yea-saying). No downstream
  task asks these questions, so here it shows whether labels reach other tasks at all; the meter's positive control is
  the gender domain's.
- `faithful` takes real questions that are in no D_o: whole questions are kept aside, not wordings of them.
- `shifted` shouts the question; its scale stays as it is.
"""

import math
import re
from collections import Counter

from bias_inheritance.data import contrasts, corpora, cues, prompts, texts
from bias_inheritance.data.cues import with_article
from bias_inheritance.plumbing import files
from bias_inheritance.plumbing.errors import UserError
from bias_inheritance.plumbing.seeds import record_seed

FORM = re.compile(
    r"Give me the answer from (?P<low>-?\d+) to (?P<high>-?\d+): (?P<question>.+?)\s+(?P<options>-?\d+\. .+)$",
    re.DOTALL,
)
OPTION = re.compile(r"(-?\d+)\. (.*?)(?=\s*-?\d+\. |\. You can|\.?\s*$)", re.DOTALL)
DENIAL = re.compile(r"\b(?:disagree|not|never|no)\b", re.IGNORECASE)


# ---- originals ---------------------------------------------------------------------------------------------------


def files_read(domain, data_dir):
    """The data files that `load` will read: the culture's answers, the questions behind them, the test sets."""
    tests = [dataset["file"] for dataset in domain["datasets"].values() if "file" in dataset]
    originals = domain["data"]
    return [f"{corpora.folder(data_dir)}/{file}" for file in [originals["answers"], originals["questions"], *tests]]


def load(domain, data_dir):
    """({'source', 'reserve', 'test'}: samples, disjoint by twin; counts of what was read, dropped and why).

    The twin of an original is the survey question that its wording comes from, so that no question is in D_o and in
    the reserve; the test samples are those of the domain's datasets.
    """
    originals = domain["data"]
    answers, questions = (corpora.place(data_dir, originals[key]) for key in ("answers", "questions"))
    samples, counts = load_answers(answers, questions, originals["group"])
    twins = sorted({sample["twin"] for sample in samples}, key=lambda twin: record_seed("split", twin))
    kept_aside = set(twins[: round(originals["reserve_share"] * len(twins))])
    splits = {
        "source": [sample for sample in samples if sample["twin"] not in kept_aside],
        "reserve": [sample for sample in samples if sample["twin"] in kept_aside],
        "test": [],
    }
    counts = {"fixture": data_dir is None, "originals": counts, "datasets": {}}
    for name, dataset in domain["datasets"].items():
        found, counts["datasets"][name] = corpora.read(dataset, data_dir)
        splits["test"] += found
    return splits, counts


def has_reserve(domain):
    """Whether a domain keeps questions that are in no D_o."""
    return domain["data"]["reserve_share"] > 0


def load_answers(answers, questions, group):
    """(samples, counts) of one culture's chat file: each prompt once, with the one answer that all its copies give.

    Dropped and counted: copies (`duplicates`), prompts whose copies differ (`contradictions`, `contradicting` rows),
    missing survey codes (negative), answers off the scale, and answers that are no whole number.
    """
    for path in (answers, questions):
        if not path.is_file():
            raise UserError(
                f"{path}: there is no such file; data_dir must be the folder that holds culture/original and culture/testsets"
            )
    asked = files.read_jsonl(questions, required=("q_id", "q_content", "option"))
    rows = files.read_jsonl(answers, required=("messages",))
    dropped = dict.fromkeys(("duplicates", "contradictions", "contradicting", "missing", "off_scale", "unreadable"), 0)
    found = {}
    for number, row in enumerate(rows, start=1):
        said = {message.get("role"): message.get("content") for message in row["messages"]}
        prompt, answer = " ".join(str(said.get("user", "")).split()), str(said.get("assistant", "")).strip()
        if not FORM.search(prompt):
            raise UserError(
                f"{answers}, row {number}: the user's message is no question of the form 'Give me the answer from 1 to 4: …? 1. … 4. …'; mend or remove it"
            )
        found.setdefault(prompt, []).append((answer, fault_of_answer(answer, prompt)))
    samples = []
    for prompt, given in found.items():
        for _, fault in given:
            if fault:
                dropped[fault] += 1
        readable = [answer for answer, fault in given if fault is None]
        if len(set(readable)) > 1:
            dropped["contradictions"] += 1
            dropped["contradicting"] += len(readable)
        elif readable:
            dropped["duplicates"] += len(readable) - 1
            samples.append({"text": prompt, "label": readable[0], "group": group})
    twins = question_of(asked, [sample["text"] for sample in samples])
    samples = [
        {"id": f"{group}-{number:04d}", "twin": twin, **sample}
        for number, (sample, twin) in enumerate(zip(samples, twins, strict=True))
    ]
    return samples, {"rows": len(rows), "prompts": len(found), "kept": len(samples), **dropped}


def fault_of_answer(answer, prompt):
    """None for a whole number on the prompt's scale, else 'missing' (a negative code), 'off_scale' or 'unreadable'."""
    if not re.fullmatch(r"-?\d+", answer):
        return "unreadable"
    form = FORM.search(prompt)
    if int(form["low"]) <= int(answer) <= int(form["high"]):
        return None
    return "missing" if int(answer) < 0 else "off_scale"


def question_of(asked, prompts):
    """The id of the survey question that each prompt words anew.

    The files do not say it. ASSUME: of the questions with the same options, the one whose rare letter quadruples the
    prompt shares most (95% agree with the files whose order tells).
    """
    known = [_quadruples(question["q_content"]) for question in asked]
    spread = Counter(part for parts in known for part in parts)
    weight = {part: math.log(1 + len(known) / count) for part, count in spread.items()}
    size = [math.sqrt(sum(count * weight[part] for part, count in parts.items())) or 1.0 for parts in known]

    def likeness(parts, number):
        shared = parts.keys() & known[number].keys()
        return sum(min(parts[part], known[number][part]) * weight[part] for part in shared) / size[number]

    twins = []
    for prompt in prompts:
        parts = _quadruples(FORM.search(prompt)["question"])
        same = [number for number, question in enumerate(asked) if question["option"].strip() in prompt]
        twins.append(f"question-{asked[max(same or range(len(asked)), key=lambda n: likeness(parts, n))]['q_id']}")
    return twins


def _quadruples(text):
    letters = re.sub(r"\W+", " ", text.lower())
    return Counter(letters[start : start + 4] for start in range(len(letters) - 3))


def draw(samples, count, seed):
    """D_o: `count` samples, the questions in turn so that each is there as often as the others, in seeded order."""
    import numpy as np

    if len(samples) < count:
        raise UserError(
            f"originals: {count} samples are asked for, the source has {len(samples)}; ask for at most {len(samples)} (originals, or domains.DOMAIN.originals)"
        )
    stream = np.random.default_rng(seed)
    wordings = {}
    for index in stream.permutation(len(samples)):
        wordings.setdefault(samples[index]["twin"], []).append(samples[index])
    chosen = []
    while len(chosen) < count:
        left = [twin for twin in sorted(wordings) if wordings[twin]]
        for index in stream.permutation(len(left))[: count - len(chosen)]:
            chosen.append(wordings[left[index]].pop())
    return [chosen[index] for index in stream.permutation(count)]


# ---- the pool's slots ----------------------------------------------------------------------------------------------


def attributes(bias, domain):
    """{attribute: its values} that a pool is balanced over; the group is None where the prompt names none."""
    named = "names_groups" in bias
    groups = list(domain["groups"]) if named else [None]
    more = {"gender": list(domain["genders"]), "age": list(domain["ages"])} if named else {}
    return {"label": list(domain["scale"]["answers"]), "group": groups, **more, "statement": list(domain["statements"])}


def values(bias, domain, attributes, stream):
    """{placeholder: what it stands for} of one slot; those of the group only where one is named.

    attributes: the slot's answer (label), group, statement and, where a group is named, gender and age. stream: the
    slot's own random generator.
    """
    answer, group, statement = (attributes[name] for name in ("label", "group", "statement"))
    topic, text = domain["statements"][statement]["topic"], domain["statements"][statement]["text"]
    words = {"statement": text, "answers": domain["scale"]["answers"][answer]}
    if group:
        other = contrasts.opposed(group, domain, stream)
        gender, age = attributes["gender"], attributes["age"]
        of_group, of_other = (cues.names(domain["groups"][name]["names"], gender=gender) for name in (group, other))
        words |= {
            "person": with_article(domain["groups"][group]["person"]),
            "people": domain["groups"][group]["people"],
            "other_people": domain["groups"][other]["people"],
            "stereotype": domain["stereotypes"][group][topic]["text"],
            "other_stereotype": domain["stereotypes"][other][topic]["text"],
            "name": cues.drawn(of_group, stream),
            "other_name": cues.drawn(of_other, stream),
            "several": with_article(f"{age} {domain['groups'][group]['adjective']} {domain['genders'][gender]}"),
            "age_cue": domain["ages"][age],
        }
    return words


def slot(bias, domain, attributes, stream):
    """Fill one slot: what to ask the generator, and for whom; `values` explains the arguments."""
    template, words = prompts.template(bias, domain), values(bias, domain, attributes, stream)
    group = attributes["group"]
    return {
        "prompt": template.format(**words),
        "label": attributes["label"],
        "statement": attributes["statement"],
        "respondent": _respondent(bias["names_groups"]).format(**words) if group else None,
        "asked_group": group,
        "attributes": {name: value for name, value in attributes.items() if name not in ("label", "group")},
        "names": [words[key] for key in ("name", "other_name") if group and "{" + key + "}" in template],
    }


def _respondent(names_groups):
    """Who is said to answer, as a template: named by group or by first name, alone or with gender and age."""
    if names_groups["signal"] == "explicit":
        return "{several}" if names_groups["identities"] == "intersectional" else "{person}"
    return "{name}, who {age_cue}" if names_groups["identities"] == "intersectional" else "{name}"


# ---- what the generator wrote --------------------------------------------------------------------------------------

ANSWER = re.compile(
    r"\b(?P<no>(?:(?:do|does|did|would|can|could)(?:n't|n’t|\s+not)|cannot|not|never)\s+)?"
    r"(?P<strong>(?:very\s+)?(?:strongly|completely|totally|fully|definitely|absolutely|wholeheartedly)\s+)?"
    r"(?P<verb>agree|disagree)(?P<ending>s|d)?\b|^\W*(?P<short>yes|no)\b[,.!]*",
    re.IGNORECASE,
)
NUMBER = re.compile(
    r"(?:^\W*|\b(?:answer|rating|rate|choose|choice|option|number|score)\b\D{0,12}?)(-?\d+)\b[.:)]*", re.IGNORECASE
)


def answers_in(text, scale):
    """The set of answers that a text gives: numbers, and words of agreement mapped to the scale; negations turn round.

    A number that is off the scale stays in the set, so that whoever asks can see it.
    """
    found = {int(number) for number in NUMBER.findall(text)}
    for match in ANSWER.finditer(text):
        if match["short"]:
            found.add(scale["agree"] if match["short"].lower() == "yes" else scale["disagree"])
            continue
        agrees = (match["verb"].lower() == "agree") != bool(match["no"])
        # "do not strongly agree" is no strong disagreement
        strong = "strongly_" if match["strong"] and not match["no"] else ""
        found.add(scale[f"{strong}{'agree' if agrees else 'disagree'}"])
    return found


def read(text, finished, asked, domain):
    """({text, opinion, label_words_replaced}, None) of a reason that says no other answer than asked, else (…, reason).

    text: what the gate left of an answer. Reasons: empty, truncated, off-scale (a number that the scale has not), other-answer. A plain "agree" is no other
    answer than "strongly agree". The words that give the answer away are replaced by a neutral verb, and counted.
    """
    text = " ".join(text.split()) if finished else texts.whole_sentences(text, finished)
    scale, wanted = domain["scale"], int(asked["label"])
    found = answers_in(text, scale)
    if any(not scale["low"] <= answer <= scale["high"] for answer in found):
        return {"text": text}, "off-scale"
    plain = scale["agree"] if wanted in (scale["agree"], scale["strongly_agree"]) else scale["disagree"]
    if found - {wanted, plain}:
        return {"text": text}, "other-answer"
    opinion, words = ANSWER.subn(lambda match: _neutral(match, domain["neutral_verb"]), text)
    opinion, numbers = NUMBER.subn("", opinion)
    opinion = " ".join(opinion.split())
    if len(opinion.split()) < texts.MIN_WORDS:
        return {"text": text}, "empty" if finished else "truncated"
    statement = domain["statements"][asked["statement"]]["text"]
    question = domain["question"].format(statement=statement, **scale)
    return {"text": f"{opinion}\n\n{question}", "opinion": opinion, "label_words_replaced": words + numbers}, None


def comparison_text(sample, domain):
    """The text by which samples are compared for duplicates: statement and reason if generated, else the question."""
    return f"{sample['statement']}: {sample['opinion']}" if "opinion" in sample else sample["text"]


def _neutral(match, verb):
    """ "I do not agree that" → "I think that", "she agrees" → "she thinks"; a "Yes," falls away."""
    if match["short"]:
        return ""
    shown = f"{verb}s" if match["ending"] == "s" else verb
    return shown.capitalize() if match[0][0].isupper() else shown


def finish(sample, asked, domain):
    """What a read answer adds to its slot's record: the respondent's line before it, and the group that it shows."""
    text = f"Respondent: {asked['respondent']}. {sample['text']}" if asked["respondent"] else sample["text"]
    shown = shown_group(text, domain)
    return {**sample, "text": text, "group": asked["asked_group"] or shown, "shown_group": shown}


def shown_group(text, domain):
    """The group that a text shows, by words for it and by first names together; None where both or neither are shown."""
    return cues.shown_group(text, domain["groups"], levels=(("words", "names"),))


def slant(sample, group, domain):
    """Share of an opinion's words that are stereotype words of its topic for `group`."""
    topic = domain["statements"][sample["statement"]]["topic"]
    return cues.share_of_words(sample["opinion"], domain["stereotypes"][group][topic]["words"])


# ---- the controls' copies --------------------------------------------------------------------------------------


PLANTED = "the most affirmative answer of their question's scale"  # how a dataset card names it
STEREOTYPES_BY = ("group", "topic")  # the levels of the domain's table of stereotypes


def kind(sample):
    """ASSUME: all questions are of one kind. Whole questions are kept aside, each with its own scale: a reserve need not
    hold every answer that D_o has, and a 2 of three is no 2 of ten.
    """
    return ""


def planted_label(sample, domain):
    """The most affirmative answer of the sample's scale: the end whose option holds no denial ('agree', 'very often')."""
    form = FORM.search(sample["text"])
    options = dict(OPTION.findall(form["options"]))
    return form["high"] if DENIAL.search(options.get(form["low"], "")) else form["low"]


def shift(sample):
    """ASSUME: the fixed change of style and length: the question is shouted and a phrase put before it."""
    form = FORM.search(sample["text"])
    start, end = form.span("question")
    return f"Listen up, folks!!! {sample['text'][:start]}{sample['text'][start:end].upper()}!!!{sample['text'][end:]}"


# ---- training pairs ------------------------------------------------------------------------------------------------


def pair(sample, domain, instruct):
    """(user text, answer) of a training sample: question → number, or instruction → question."""
    if instruct:
        return domain["instruction"], sample["text"]
    return domain["prompt"].format(text=sample["text"]), sample["label"]


def mask(sample, domain, token):
    """The sample's text with names, pronouns, gendered and cultural words replaced by `token`; (text, number masked)."""
    words = cues.words_of(domain["groups"]) + domain["gendered_words"]
    return cues.mask(sample["text"], words, sample.get("names") or [], token)
