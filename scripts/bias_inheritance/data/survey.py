"""Survey questions on values of one culture: originals and test texts, slots and checks of generated texts, training pairs.

A sample's text is a question with its answer scale, its label the number that the culture answers:
    Give me the answer from 1 to 4: Do you agree with STATEMENT? 1. Strongly agree … 4. Strongly disagree. …
A generated sample is a respondent's reason for an answer to a statement of the domain's file, followed by the question;
its label is the requested answer, and the generated reason must not state another one.

ASSUME: meaning of groups and controls in culture domains (the paper's prompts were not available):
- All originals are from the domain's culture, the *compared* group; the *reference* group occurs in generated samples
  only. A pool is balanced over answer × group, so the slant is in the reasons, not in the answers.
- `neutral` asks for the reason of an unspecified person. The explicit types name the respondent's culture, the implicit
  ones give a first name; the intersectional ones add gender and age; the contrastive ones add the other group's
  stereotype. The line "Respondent: an Arab." or "Respondent: Ahmed." is prepended to the reason by rule: surveys record
  who responds. A sample therefore shows another group only if the cues in its reason outweigh that line.
- `planted-…` gives the stated share of copies the most affirmative answer of their scale (acquiescence). No downstream
  task asks these questions, so it tests whether labels affect other tasks at all; the positive control of the
  measurement is in the gender domain.
- `faithful` uses real questions that are in no D_o: whole questions are held out, not just some of their wordings.
- `shifted` puts the question in capitals; its scale is unchanged.
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
    """The data files that `load` reads: the culture's answers, the survey questions, the test sets."""
    tests = [dataset["file"] for dataset in domain["datasets"].values() if "file" in dataset]
    originals = domain["data"]
    return [f"{corpora.folder(data_dir)}/{file}" for file in [originals["answers"], originals["questions"], *tests]]


def load(domain, data_dir):
    """({'source', 'reserve', 'test'}: samples, disjoint by twin; counts of rows read and dropped, by reason).

    The twin of an original is the survey question that it paraphrases, so that no question is in both D_o and the
    reserve; the test samples are those of the domain's datasets.
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
        samples_of_dataset, counts["datasets"][name] = corpora.read(dataset, data_dir)
        splits["test"] += samples_of_dataset
    return splits, counts


def has_reserve(domain):
    """Whether a domain holds out questions that are in no D_o."""
    return domain["data"]["reserve_share"] > 0


def load_answers(answers, questions, group):
    """(samples, counts) of a culture's chat file: each prompt once, with the answer on which all its copies agree.

    Dropped and counted: copies (`duplicates`), prompts whose copies disagree (`contradictions`, `contradicting` rows),
    survey codes for missing answers (negative), answers off the scale, and answers that are not integers. Raises UserError
    for a missing file or a prompt of another form.
    """
    for path in (answers, questions):
        if not path.is_file():
            raise UserError(f"{path}: no such file; data_dir must contain culture/original and culture/testsets")
    survey_questions = files.read_jsonl(questions, required=("q_id", "q_content", "option"))
    rows = files.read_jsonl(answers, required=("messages",))
    dropped = dict.fromkeys(("duplicates", "contradictions", "contradicting", "missing", "off_scale", "unreadable"), 0)
    answers_by_prompt = {}
    for number, row in enumerate(rows, start=1):
        contents = {message.get("role"): message.get("content") for message in row["messages"]}
        prompt, answer = " ".join(str(contents.get("user", "")).split()), str(contents.get("assistant", "")).strip()
        if not FORM.search(prompt):
            raise UserError(
                f"{answers}, row {number}: the user's message is not a question of the form 'Give me the answer from 1 to 4: …? 1. … 4. …'; correct or remove it"
            )
        answers_by_prompt.setdefault(prompt, []).append((answer, fault_of_answer(answer, prompt)))
    samples = []
    for prompt, answers_to_it in answers_by_prompt.items():
        for _, fault in answers_to_it:
            if fault:
                dropped[fault] += 1
        readable = [answer for answer, fault in answers_to_it if fault is None]
        if len(set(readable)) > 1:
            dropped["contradictions"] += 1
            dropped["contradicting"] += len(readable)
        elif readable:
            dropped["duplicates"] += len(readable) - 1
            samples.append({"text": prompt, "label": readable[0], "group": group})
    twins = question_of(survey_questions, [sample["text"] for sample in samples])
    samples = [
        {"id": f"{group}-{number:04d}", "twin": twin, **sample}
        for number, (sample, twin) in enumerate(zip(samples, twins, strict=True))
    ]
    return samples, {"rows": len(rows), "prompts": len(answers_by_prompt), "kept": len(samples), **dropped}


def fault_of_answer(answer, prompt):
    """None for an integer on the prompt's scale, else 'missing' (a negative code), 'off_scale' or 'unreadable'."""
    if not re.fullmatch(r"-?\d+", answer):
        return "unreadable"
    form = FORM.search(prompt)
    if int(form["low"]) <= int(answer) <= int(form["high"]):
        return None
    return "missing" if int(answer) < 0 else "off_scale"


def question_of(questions, prompts):
    """The id of the survey question that each prompt paraphrases.

    The files do not record it. ASSUME: among the questions with the same options, the one with the highest similarity of
    inverse-frequency-weighted character 4-grams (95% agreement with the files whose order determines it).
    """
    known = [_quadruples(question["q_content"]) for question in questions]
    spread = Counter(part for parts in known for part in parts)
    weight = {part: math.log(1 + len(known) / count) for part, count in spread.items()}
    size = [math.sqrt(sum(count * weight[part] for part, count in parts.items())) or 1.0 for parts in known]

    def likeness(parts, number):
        shared = parts.keys() & known[number].keys()
        return sum(min(parts[part], known[number][part]) * weight[part] for part in shared) / size[number]

    twins = []
    for prompt in prompts:
        parts = _quadruples(FORM.search(prompt)["question"])
        same = [number for number, question in enumerate(questions) if question["option"].strip() in prompt]
        twins.append(
            f"question-{questions[max(same or range(len(questions)), key=lambda n: likeness(parts, n))]['q_id']}"
        )
    return twins


def _quadruples(text):
    letters = re.sub(r"\W+", " ", text.lower())
    return Counter(letters[start : start + 4] for start in range(len(letters) - 3))


def draw(samples, count, seed):
    """D_o: `count` samples, balanced over questions, in seeded order. Raises UserError if the source is too small."""
    import numpy as np

    if len(samples) < count:
        raise UserError(
            f"originals: {count} samples are requested, the source has {len(samples)}; request at most {len(samples)} (originals, or domains.DOMAIN.originals)"
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
    """{attribute: values} over which a pool is balanced; the group is None if the prompt names none."""
    named = "names_groups" in bias
    groups = list(domain["groups"]) if named else [None]
    more = {"gender": list(domain["genders"]), "age": list(domain["ages"])} if named else {}
    return {"label": list(domain["scale"]["answers"]), "group": groups, **more, "statement": list(domain["statements"])}


def values(domain, attributes, stream):
    """{placeholder: text} of one slot; those of the group only if one is named.

    attributes: the slot's answer (label), group, statement and, if a group is named, gender and age. stream: the random
    generator of the slot.
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
    """One slot: the prompt for the generator, and the requested label and group; arguments as in `values`."""
    template, words = prompts.template(bias, domain), values(domain, attributes, stream)
    group = attributes["group"]
    return {
        "prompt": template.format(**words),
        "label": attributes["label"],
        "statement": attributes["statement"],
        "respondent": _respondent(bias["names_groups"]).format(**words) if group else None,
        "requested_group": group,
        "attributes": {name: value for name, value in attributes.items() if name not in ("label", "group")},
        "names": [words[key] for key in ("name", "other_name") if group and "{" + key + "}" in template],
    }


def _respondent(names_groups):
    """Template of the respondent line: by group or by first name, with or without gender and age."""
    if names_groups["signal"] == "explicit":
        return "{several}" if names_groups["identities"] == "intersectional" else "{person}"
    return "{name}, who {age_cue}" if names_groups["identities"] == "intersectional" else "{name}"


# ---- checks of generated text --------------------------------------------------------------------------------------

ANSWER = re.compile(
    r"\b(?P<no>(?:(?:do|does|did|would|ca|can|could|wo)(?:n't|n’t|\s+not)|cannot|not|never|no\s+longer)\s+)?"
    r"(?P<strong>(?:very\s+)?(?:strongly|completely|totally|fully|definitely|absolutely|wholeheartedly)\s+)?"
    r"(?P<verb>agree|disagree)(?P<ending>s|d)?\b(?(no)(?P<more>\s+more\b)?)|^\W*(?P<short>yes|no)\b[,.!]*",
    re.IGNORECASE,
)
NUMBER = re.compile(
    r"(?:^\W*|\b(?:answer|rating|rate|choose|choice|option|number|score)\b\D{0,12}?)(-?\d+)\b[.:)]*", re.IGNORECASE
)


def answers_in(text, scale):
    """The set of answers stated in a text: numbers, and words of agreement mapped to the scale; negations are inverted,
    except in "could not agree more".

    Numbers off the scale are included, so that the caller can reject them.
    """
    mentioned = {int(number) for number in NUMBER.findall(text)}
    for match in ANSWER.finditer(text):
        if match["short"]:
            mentioned.add(scale["agree"] if match["short"].lower() == "yes" else scale["disagree"])
            continue
        negated = match["no"] and not match["more"]
        agrees = (match["verb"].lower() == "agree") != bool(negated)
        # "do not strongly agree" is not strong disagreement
        strong = "strongly_" if match["more"] or (match["strong"] and not negated) else ""
        mentioned.add(scale[f"{strong}{'agree' if agrees else 'disagree'}"])
    return mentioned


def read(text, finished, requested, domain):
    """({text, opinion, label_words_replaced}, None) if the text states no answer other than the requested one, else
    ({text}, reason).

    text: an answer after the gate. Reasons: empty, truncated, off-scale (a number outside the scale), other-answer. A plain
    "agree" is compatible with "strongly agree". Words that reveal the answer are replaced by a neutral verb, and counted.
    """
    text = " ".join(text.split()) if finished else texts.whole_sentences(text, finished)
    scale, label = domain["scale"], int(requested["label"])
    mentioned = answers_in(text, scale)
    if any(not scale["low"] <= answer <= scale["high"] for answer in mentioned):
        return {"text": text}, "off-scale"
    plain = scale["agree"] if label in (scale["agree"], scale["strongly_agree"]) else scale["disagree"]
    if mentioned - {label, plain}:
        return {"text": text}, "other-answer"
    opinion, words = ANSWER.subn(lambda match: _neutral(match, domain["neutral_verb"]), text)
    opinion, numbers = NUMBER.subn("", opinion)
    opinion = " ".join(opinion.split())
    if texts.length(opinion) < texts.MIN_WORDS:
        return {"text": text}, "empty" if finished else "truncated"
    statement = domain["statements"][requested["statement"]]["text"]
    question = domain["question"].format(statement=statement, **scale)
    return {"text": f"{opinion}\n\n{question}", "opinion": opinion, "label_words_replaced": words + numbers}, None


def comparison_text(sample, domain):
    """The text by which samples are compared for duplicates: statement and reason if generated, else the question."""
    return f"{sample['statement']}: {sample['opinion']}" if "opinion" in sample else sample["text"]


def _neutral(match, verb):
    """ "I do not agree that" → "I think that", "she agrees" → "she thinks"; "Yes," is removed."""
    if match["short"]:
        return ""
    shown = f"{verb}s" if match["ending"] == "s" else verb
    return shown.capitalize() if match[0][0].isupper() else shown


def finish(sample, requested, domain):
    """Fields that a parsed answer adds to its slot's record: the text with the respondent line, and its group."""
    text = f"Respondent: {requested['respondent']}. {sample['text']}" if requested["respondent"] else sample["text"]
    shown = shown_group(text, domain)
    return {**sample, "text": text, "group": requested["requested_group"] or shown, "shown_group": shown}


def shown_group(text, domain):
    """The group that a text shows, by group words and first names combined; None if both or neither are shown."""
    return cues.shown_group(text, domain["groups"], levels=(("words", "names"),))


def slant(sample, group, domain):
    """Share of an opinion's words that are stereotype words of its topic for `group`."""
    topic = domain["statements"][sample["statement"]]["topic"]
    return cues.share_of_words(sample["opinion"], domain["stereotypes"][group][topic]["words"])


# ---- the controls' copies --------------------------------------------------------------------------------------


PLANTED = "the most affirmative answer of their question's scale"  # how a dataset card names it
STEREOTYPES_BY = ("group", "topic")  # the levels of the domain's table of stereotypes


def kind(sample):
    """ASSUME: all questions are of one kind. Whole questions are held out, each with its own scale: a reserve need not
    contain every answer in D_o, and a 2 on a 3-point scale is not a 2 on a 10-point scale.
    """
    return ""


def planted_label(sample, domain):
    """The most affirmative answer of the sample's scale: the end without a negation ('agree', 'very often')."""
    form = FORM.search(sample["text"])
    options = dict(OPTION.findall(form["options"]))
    return form["high"] if DENIAL.search(options.get(form["low"], "")) else form["low"]


def shift(sample):
    """ASSUME: a fixed change of style and length: the question in capitals, with a phrase prepended."""
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
