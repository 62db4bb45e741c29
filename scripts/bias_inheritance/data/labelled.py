"""Labelled texts with groups: originals, slots of a pool, checks of generated texts, training pairs, masking.

All properties of a domain are in its file (docs/extending.md): its labels, its groups with the words, pronouns and names
that show them, the source of its texts, and the noun for one of them (`sample`).
"""

import itertools
import re
from collections import Counter
from functools import cache
from pathlib import Path

from bias_inheritance.data import contrasts, counterfactual, cues, formats, prompts, splitting, tables, texts
from bias_inheritance.data.cues import with_article
from bias_inheritance.plumbing import files
from bias_inheritance.plumbing.errors import UserError
from bias_inheritance.plumbing.provenance import ROOT

SENTENCE_END = re.compile(
    rf"((?<=[.!?])(?<!\bDr\.)(?<!\bMr\.)(?<!\bMs\.)(?<!\bMrs\.)(?<!\bProf\.)\s+|{texts.NEXT_SENTENCE})"
)
# ASSUME: no study needs more texts per split, including twins; surplus texts are dropped, and counted
LARGEST = {"source": 50_000, "reserve": 50_000, "test": 20_000}
# defaults of optional keys of a domain's file
SPLIT = {"test": 0.3, "reserve": 0.2}
SAMPLE = "a text"
PROMPT = "{text}\n\nCategory:"
ANSWER = "{label}"
INSTRUCTION = 'Write {sample} of the category "{label}" in three or four sentences.'


# ---- originals ---------------------------------------------------------------------------------------------------


def files_read(domain, data_dir):
    """The data files that `load` reads, relative to the project's root if they are inside it; none is in `data_dir`."""
    data, read = domain["data"], []
    if data.get("twins"):
        read += _twin_files(data["twins"], domain)
    else:
        read += formats.files_read(_specification(domain))
    if data.get("content"):
        read += _twin_files(data["content"], domain)
    return read


def load(domain, data_dir=None):
    """(splits: lists of samples, disjoint by twin, in a fixed order; counts of rows read and dropped).

    The splits are source, reserve and test, and `content` if the domain's file names a folder of such twins: samples with
    the field `content`, the group whose stereotype the text follows, which are never cut, since all of the text matters.
    If the domain lists words to swap, the test split includes the rule-based counterfactual twins of each text.
    """
    data = domain["data"]
    if data.get("twins"):
        splits, counts = load_twins(ROOT / data["twins"], domain), {}
    else:
        splits, counts = load_table(domain)
    if data.get("content"):
        by_content = _twins_by(ROOT / data["content"], domain, "content", list(domain["groups"]))
        splits["content"] = [
            {**sample, "content": content} for content, samples in by_content.items() for sample in samples
        ]
    for sample in itertools.chain(splits["source"], splits["reserve"], splits["test"]):
        sample["text"] = opening(sample["text"], domain.get("sentences"))
    if "swap" in domain and not data.get("twins"):
        splits["test"], counts["twins"] = counterfactual.twins(splits["test"], domain)
    untested = sorted(domain["groups"].keys() - {sample["group"] for sample in splits["test"]})
    if untested:
        raise UserError(
            f"catalog/domains/{domain['name']}.yaml: data.split: the test texts have none of {' and '.join(untested)}, so nothing can be measured there; choose another split, or remove the group"
        )
    return splits, counts


def check(domain):
    """Raises UserError for data of which no study can be made: columns that are not there, one label, few texts of a group.

    Twins, which ship, and large files are left to `load`.
    """
    spec, place = _specification(domain), f"catalog/domains/{domain['name']}.yaml: data"
    if not domain["data"].get("twins") and not formats.is_large(spec):
        tables.check(_table(domain), place)


def has_reserve(domain):
    """Whether a domain holds out real texts that are in no D_o."""
    return bool(domain["data"].get("twins") or domain["data"].get("split", SPLIT).get("reserve"))


def opening(text, sentences):
    """The first `sentences` sentences of a text, or all of it (None). Titles ("Dr.") do not end a sentence."""
    if sentences is None:
        return text
    parts = SENTENCE_END.split(text)[: 2 * sentences - 1]  # every second one is the space after a sentence, if any
    return "".join(" " if place % 2 and part else part for place, part in enumerate(parts))


def load_twins(folder, domain):
    """Template texts that were written once for all groups, by split."""
    return _twins_by(folder, domain, "split", ["source", "reserve", "test"])


def _twins_by(folder, domain, field, values):
    """{value of the twins' `field`: samples}: each twin of a file `LABEL.jsonl` yields a sample for each group.

    Raises UserError for a twin whose field is not one of `values`.
    """
    samples = {value: [] for value in values}
    for label, path in zip(contrasts.labels(domain), map(Path, _twin_files(folder, domain)), strict=True):
        for twin in files.read_jsonl(path, required=("id", field, *domain["groups"], "text")):
            if twin[field] not in samples:
                raise UserError(
                    f"{path}: {field} of {twin['id']} is {twin[field]!r}; it must be one of {', '.join(values)}"
                )
            for group in domain["groups"]:
                forms = contrasts.described(domain, group).get("forms", {})
                samples[twin[field]].append(
                    {
                        "id": f"{twin['id']}-{group}",
                        "twin": twin["id"],
                        "label": label,
                        "group": group,
                        "name": twin[group],
                        "text": expand(twin, group, forms),
                    }
                )
    return samples


def _twin_files(folder, domain):
    return [f"{folder}/{label.replace(' ', '-')}.jsonl" for label in contrasts.labels(domain)]


def expand(twin, group, forms):
    """A twin's text for one group: placeholders replaced by that group's name and word forms {placeholder: word}."""
    first, _, surname = twin[group].partition(" ")
    words = {"name": twin[group], "first": first, "surname": surname.strip()}
    for key, word in forms.items():
        words |= {key: word, key.capitalize(): word.capitalize()}
    return twin["text"].format(**words)


def load_table(domain):
    """(splits, counts) of the domain's files or Hub dataset; `tables.read` documents which rows are dropped.

    Each text is its own cluster, named by its digest. Splits are those of the data if the domain's `split` names them, else
    shares of every label × group. counts: those of `tables.read`, left_out {split: texts beyond LARGEST}, and repeated
    {split: texts that are near-duplicates of texts in another split}.
    """
    place, data = f"catalog/domains/{domain['name']}.yaml: data", domain["data"]
    table = _table(domain)
    tables.check(table, place)
    splits, left_out = {}, {}
    parts, repeated = _parts(table, data.get("split", SPLIT))
    lacking = set(itertools.product(table.names["label"], table.names["group"])) - table.strata(parts["source"]).keys()
    if lacking:
        raise UserError(
            f"{place}.split: the source has no text of {' and '.join(min(lacking))}; D_o needs every combination"
        )
    for split, rows in parts.items():
        twins = len(domain["groups"]) if split == "test" and "swap" in domain else 1
        kept = _at_most(table, rows, LARGEST[split] // twins)
        if len(kept) < len(rows):
            left_out[split] = len(rows) - len(kept)
        splits[split] = [
            {
                "id": row["id"],
                "twin": row["key"],
                **{key: row[key] for key in ("label", "group")},
                "name": None,
                "text": row["text"],
            }
            for row in table.take(kept)
        ]
    more = {"left_out": left_out, "repeated": repeated}
    return splits, {**table.counts, **{name: counted for name, counted in more.items() if counted}}


def _table(domain):
    place = f"catalog/domains/{domain['name']}.yaml: "
    return tables.read(_specification(domain), name=f"{place}data", classes=place)


def _specification(domain):
    """The specification for `tables`: the domain's data, labels and groups; files take precedence over a Hub dataset."""
    spec = {key: value for key, value in domain["data"].items() if value is not None}
    if "files" in spec:
        spec = {key: value for key, value in spec.items() if key not in ("hub", "revision")}
    return {**spec, "labels": domain["labels"], "groups": contrasts.group_values(domain)}


def _parts(table, split):
    """({source, reserve, test: row numbers}, {split: number of texts repeated in another}), by shares or by the splits of
    the data."""
    import numpy as np

    repeated, named = {}, tables.named_splits({"split": split})
    if not named:
        # a share of the source is what the others leave
        parts = splitting.split(table, {part: share for part, share in split.items() if part != "source"}, 0)
    else:
        of_data, parts = table.names["split"], {}
        for part, names in named.items():
            codes = [of_data.index(name) for name in names if name in of_data]
            parts[part] = np.flatnonzero(np.isin(table.codes["split"], codes))
        # the test split is kept whole
        parts, repeated = splitting.apart(table, dict(sorted(parts.items(), key=lambda item: item[0] != "test")))
    return {part: parts.get(part, np.array([], dtype=np.int64)) for part in ("source", "reserve", "test")}, repeated


def _at_most(table, rows, most):
    """At most `most` of the rows, as balanced over label × group as possible, selected by content, in their order."""
    import numpy as np

    if len(rows) <= most:
        return rows
    strata = sorted(table.strata(rows).values(), key=len)
    kept = []
    for place, part in enumerate(strata):
        share = (most - sum(map(len, kept))) // (len(strata) - place)
        kept.append(part[np.argsort(table.keys[part], kind="stable")][:share])
    return np.sort(np.concatenate(kept))


def draw(samples, count, seed):
    """D_o: `count` samples balanced over label × group, of distinct twins if there are enough, in seeded order.

    A remainder, of fewer samples than there are combinations, is balanced over labels, then over groups. Raises UserError
    if a label × group has too few samples.
    """
    import numpy as np

    stream = np.random.default_rng(seed)
    strata = {}
    for index in stream.permutation(len(samples)):
        sample = samples[index]
        strata.setdefault((sample["label"], sample["group"]), []).append(sample)
    keys = [sorted(strata)[index] for index in stream.permutation(len(strata))]
    needed = dict.fromkeys(keys, count // len(keys))
    left, of_label, of_group = list(keys), Counter(), Counter()
    for _ in range(count % len(keys)):
        label, group = min(left, key=lambda key: (of_label[key[0]], of_group[key[1]]))
        left.remove((label, group))
        needed[label, group] += 1
        of_label[label] += 1
        of_group[group] += 1
    chosen, used = [], set()
    for key in keys:
        fresh = [sample for sample in strata[key] if sample["twin"] not in used] + [
            sample for sample in strata[key] if sample["twin"] in used
        ]
        if len(fresh) < needed[key]:
            raise UserError(
                f"originals: {needed[key]} samples of {' and '.join(key)} are requested, the source has {len(fresh)}; request at most {len(fresh) * len(keys)}"
            )
        chosen += fresh[: needed[key]]
        used |= {sample["twin"] for sample in fresh[: needed[key]]}
    return [chosen[index] for index in stream.permutation(len(chosen))]


# ---- the pool's slots ----------------------------------------------------------------------------------------------


def attributes(bias, domain):
    """{attribute: values} over which a pool is balanced; the group is None if the prompt names none, and the label is None for
    a probe, whose texts are about other topics."""
    if "topics" in bias:
        return {"label": [None], "group": [None], "topic": bias["topics"]}
    named = bias.get("names_groups")
    groups = list(domain["groups"]) if named else [None]
    more = {"age": list(domain["ages"])} if named and "ages" in domain else {}
    if named and named["identities"] == "intersectional":
        more["culture"] = list(domain["cultures"])
    return {"label": contrasts.labels(domain), "group": groups, **more}


def values(domain, attributes, stream):
    """{placeholder: text} of one slot; those of the group only if one is named.

    attributes: the slot's label and group, and its age and culture if the domain has them. stream: the random generator of
    the slot.
    """
    label, group = attributes["label"], attributes["group"]
    if label is None:
        return {"topic": attributes["topic"]}
    words = {"sample": domain.get("sample", SAMPLE), "label": label, "a_label": with_article(label)}
    if group is None:
        return words
    other = contrasts.opposed(group, domain, stream)
    of_group, of_other = (contrasts.described(domain, name) for name in (group, other))
    noun = of_group.get("noun", group)
    words |= {"group": noun, "group_article": with_article(noun), "other_group": of_other.get("noun", other)}
    if "pronouns" in of_group:
        words["pronoun"] = of_group["pronouns"][0]
    for name, key in ((group, "stereotype"), (other, "other_stereotype")):
        if name in domain.get("stereotypes", {}).get(label, {}):
            words[key] = domain["stereotypes"][label][name]["text"]
    culture = {"culture": attributes["culture"]} if "culture" in attributes else domain.get("names", {})
    for spec, key in ((of_group, "name"), (of_other, "other_name")):
        if "names" in spec:
            words[key] = cues.drawn(cues.names(spec["names"], **culture), stream)
    if "age" in attributes:
        age = attributes["age"]
        words |= {"age": age, "age_article": with_article(age), "age_cue": domain["ages"][age]}
    if "culture" in attributes:
        words["culture"] = domain["cultures"][attributes["culture"]]
    return words


def slot(bias, domain, attributes, stream):
    """One slot: the prompt for the generator, and the requested label and group; arguments as in `values`."""
    template, words = prompts.template(bias, domain), values(domain, attributes, stream)
    return {
        "prompt": template.format(**words),
        "label": attributes["label"],
        "requested_group": attributes["group"],
        "attributes": {name: value for name, value in attributes.items() if name not in ("label", "group")},
        "names": [words[key] for key in ("name", "other_name") if key in words and "{" + key + "}" in template],
    }


# ---- checks of a generated text ----------------------------------------------------------------------------------


def shown_group(text, domain):
    """The group that a text shows: by pronouns, else by words ("man", "Mrs"), else by first names; None if unclear."""
    return cues.shown_group(text, domain["groups"])


def read(text, finished, requested, domain):
    """({text}, None) for a usable text, or ({text}, reason). A text that shows no group is kept, and counted.

    text: an answer after the gate. Reasons: empty, truncated, wrong-group; for a probe also named (`names_anything`).
    """
    text = opening(texts.whole_sentences(text, finished), domain.get("sentences"))
    if texts.length(text) < texts.MIN_WORDS:
        return {"text": text}, "empty" if finished else "truncated"
    if requested["label"] is None:
        return {"text": text}, "named" if names_anything(text, domain) else None
    shown = shown_group(text, domain)
    if requested["requested_group"] and shown and shown != requested["requested_group"]:
        return {"text": text}, "wrong-group"
    return {"text": text}, None


def names_anything(text, domain):
    """Whether a text has a label's or a group's name, a label word, or a cue of a group or culture (words, pronouns, names)."""
    named = [*contrasts.labels(domain), *domain["groups"]]
    named += filter(None, (contrasts.described(domain, group).get("noun") for group in domain["groups"]))
    return bool(
        cues.compiled(frozenset(named)).search(text)
        or hide_labels(text, domain)[1]
        or mask({"text": text}, domain, "")[1]
    )


def finish(sample, requested, domain):
    """Fields that a parsed answer adds to its slot's record: the text with label words replaced, and its group."""
    text, hidden = hide_labels(sample["text"], domain)
    shown = shown_group(sample["text"], domain)
    return {
        "text": text,
        "group": requested["requested_group"] or shown,
        "shown_group": shown,
        "label_words_replaced": hidden,
    }


def comparison_text(sample, domain):
    """The text by which samples are compared for duplicates: label words replaced."""
    return hide_labels(sample["text"], domain)[0]


@cache
def _label_pattern(words):
    return re.compile(rf"(?:\b(an?\s+))?({cues.pattern(words)})", re.IGNORECASE)


def hide_labels(text, domain):
    """(text with every label word replaced by the neutral noun, number of replacements). Articles agree with the noun.

    The text is unchanged for a domain without label words.
    """
    if not domain.get("label_words"):
        return text, 0
    words = tuple(word for listed in domain["label_words"].values() for word in listed)
    noun = domain["neutral_noun"]
    replaced, count = _label_pattern(words).subn(lambda match: _in_place(match, noun), text)
    return replaced, count


def _in_place(match, noun):
    word = match.group(2)
    plural = noun + "s" if word.lower().endswith("s") else noun
    article = match.group(1)
    shown = plural.capitalize() if word[0].isupper() and not article else plural
    if not article:
        return shown
    chosen = with_article(noun).split()[0]
    return f"{chosen.capitalize() if article[0].isupper() else chosen} {shown}"


def slant(sample, group, domain):
    """Share of a sample's words that are stereotype words of its label for `group`; 0 if the domain lists none."""
    stereotype = domain.get("stereotypes", {}).get(sample["label"], {}).get(group)
    return cues.share_of_words(sample["text"], stereotype["words"]) if stereotype else 0.0


# ---- the controls' copies --------------------------------------------------------------------------------------


PLANTED = "the label *{planted_label}*"  # how a dataset card names it, from the domain's file
STEREOTYPES_BY = ("label", "group")  # the levels of the domain's table of stereotypes


def kind(sample):
    """The stratum, in addition to the group, whose shares copies take from D_o."""
    return sample["label"]


def planted_label(sample, domain):
    """The label that the planted control assigns to samples of the compared group."""
    return domain["planted_label"]


def shift(sample):
    """ASSUME: a fixed change of style and length: the first half of the sentences, in capitals, each with a tag."""
    sentences = re.split(rf"(?<=[.!?])\s+|{texts.NEXT_SENTENCE}", sample["text"])
    kept = sentences[: max(1, len(sentences) // 2)]
    return " ".join(f"{sentence.rstrip('.!?').upper()}!!! You bet." for sentence in kept)


# ---- training pairs ------------------------------------------------------------------------------------------------


def pair(sample, domain, instruct):
    """(user text, answer) of a training sample: text → label, or instruction → text; without a label, prompt → text."""
    label = sample["label"]
    if label is None:
        return sample["prompt"], sample["text"]
    if instruct:
        instruction = domain.get("instruction", INSTRUCTION)
        noun = domain.get("sample", SAMPLE)
        return instruction.format(a_label=with_article(label), label=label, sample=noun), sample["text"]
    prompt, answer = domain.get("prompt", PROMPT), domain.get("answer", ANSWER)
    return prompt.format(text=sample["text"]), answer.format(label=label)


def mask(sample, domain, token):
    """(text with names, pronouns and words of groups and cultures replaced by `token`, number of replacements).

    Words are from the domain's lexicon, names from the sample's record and from the name lists.
    """
    words = [*cues.words_of(domain["groups"]), *domain.get("cultures", {}).values()]
    listed = [contrasts.described(domain, group).get("names") for group in domain["groups"]]
    persons = [name for names in listed if isinstance(names, list) for name in names]
    persons += [part for name in sample.get("names") or [] for part in name.split()] + (
        sample.get("name") or ""
    ).split()
    return cues.mask(sample["text"], words, persons, token)
