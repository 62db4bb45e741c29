"""Biographies: originals, the slots of a pool, the checks of a generated text, training pairs, masking."""

import hashlib
import itertools
import re
from functools import cache
from pathlib import Path

from bias_inheritance.data import cues, hub_data, texts
from bias_inheritance.data.cues import with_article
from bias_inheritance.plumbing import files
from bias_inheritance.plumbing.errors import UserError
from bias_inheritance.plumbing.provenance import ROOT

SENTENCE_END = re.compile(r"(?<=[.!?])(?<!\bDr\.)(?<!\bMr\.)(?<!\bMs\.)(?<!\bMrs\.)(?<!\bProf\.)\s+")
PRONOUNS = {
    "male": {"he": "he", "him": "him", "his": "his", "himself": "himself"},
    "female": {"he": "she", "him": "her", "his": "her", "himself": "herself"},
}
BIAS_IN_BIOS = {1: "architect", 6: "dentist", 13: "nurse", 14: "painter", 21: "professor", 24: "software engineer"}


# ---- originals ---------------------------------------------------------------------------------------------------


def files_read(domain, data_dir):
    """The data files that `load` will read, relative to the project's root where they lie in it."""
    originals, read = domain["originals"], []
    if originals["loader"] == "twins":
        read += [_twin_file(originals["path"], label) for label in domain["labels"]]
    elif originals.get("path"):
        read += [str(path) for split in ("train", "dev", "test") for path in _parquet_files(originals, split, data_dir)]
    if originals.get("content"):
        read += [_twin_file(originals["content"], label) for label in domain["labels"]]
    return read


def load(domain, data_dir=None):
    """(splits: lists of samples, disjoint by twin, in a fixed order; counts of what was read and dropped).

    The splits are source, reserve and test, and content where the domain's file names a folder of such twins: samples
    with the field `content`, the group whose stereotype the text follows, which are never cut: it is in all of a text.
    """
    originals = domain["originals"]
    if originals["loader"] == "twins":
        splits, dropped = load_twins(ROOT / originals["path"], domain["labels"]), {}
    elif originals["loader"] == "bias_in_bios":
        splits, dropped = load_bias_in_bios(domain, data_dir)
    else:
        raise UserError(
            f"catalog/domains/{domain['name']}.yaml: originals.loader: no loader {originals['loader']!r}; there are twins, bias_in_bios"
        )
    if originals.get("content"):
        by_content = _twins_by(ROOT / originals["content"], domain["labels"], "content", list(PRONOUNS))
        splits["content"] = [
            {**sample, "content": content} for content, samples in by_content.items() for sample in samples
        ]
    for sample in itertools.chain(splits["source"], splits["reserve"], splits["test"]):
        sample["text"] = opening(sample["text"], domain.get("sentences"))
    return splits, dropped


def opening(text, sentences):
    """The first `sentences` sentences of a text, all of it for None. A title ("Dr.") ends no sentence."""
    return text if sentences is None else " ".join(SENTENCE_END.split(text)[:sentences])


def load_twins(folder, labels):
    """The project's fictional biographies, by split."""
    return _twins_by(folder, labels, "split", ["source", "reserve", "test"])


def _twins_by(folder, labels, field, values):
    """{value of the twins' `field`: samples}: each twin of a file `LABEL.jsonl` gives a male and a female sample.

    Raises UserError for a twin whose field is none of `values`.
    """
    found = {value: [] for value in values}
    for label in labels:
        path = Path(_twin_file(folder, label))
        for twin in files.read_jsonl(path, required=("id", field, *PRONOUNS, "text")):
            if twin[field] not in found:
                raise UserError(
                    f"{path}: {field} of {twin['id']} is {twin[field]!r}; it has to be one of {', '.join(values)}"
                )
            for group in PRONOUNS:
                found[twin[field]].append(
                    {
                        "id": f"{twin['id']}-{group}",
                        "twin": twin["id"],
                        "label": label,
                        "group": group,
                        "name": twin[group],
                        "text": expand(twin, group),
                    }
                )
    return found


def _twin_file(folder, label):
    return f"{folder}/{label.replace(' ', '-')}.jsonl"


def expand(twin, group):
    """A twin's text for one group: its placeholders replaced by that group's name and pronouns."""
    first, _, surname = twin[group].partition(" ")
    words = {"name": twin[group], "first": first, "surname": surname.strip()}
    for key, word in PRONOUNS[group].items():
        words |= {key: word, key.capitalize(): word.capitalize()}
    return twin["text"].format(**words)


def load_bias_in_bios(domain, data_dir=None):
    """BiasInBios: the hub's parquet files (or local ones), texts of the study's six professions.

    Fields hard_text, profession (int), gender (0 male, 1 female). The hub's train split gives the source, its dev
    split the reserve, its test split the test items. Each text is its own cluster, named by its digest: there are no
    twins. Returns the splits and the counts of `each_text_once`.
    """
    import pandas as pd

    originals, splits = domain["originals"], {}
    for split, name in {"test": "test", "source": "train", "reserve": "dev"}.items():
        frames = [pd.read_parquet(path) for path in _parquet_files(originals, name, data_dir)]
        frame = pd.concat(frames, ignore_index=True)
        for column in ("hard_text", "profession", "gender"):
            if column not in frame:
                raise UserError(
                    f"BiasInBios, split {name}: no column {column!r}; found {', '.join(map(str, frame.columns))}"
                )
        frame = frame[frame["profession"].isin(BIAS_IN_BIOS)].reset_index(drop=True)
        bad = frame.index[
            ~frame["gender"].isin([0, 1]) | frame["hard_text"].isna() | (frame["hard_text"].str.strip() == "")
        ]
        if len(bad):
            raise UserError(
                f"BiasInBios, split {name}: {len(bad)} rows have an empty hard_text or a gender other than 0 and 1 (first: row {bad[0]}); mend the file"
            )
        splits[split] = [
            {
                "id": f"{name}-{index}",
                "twin": hashlib.sha256(" ".join(row.hard_text.split()).encode()).hexdigest()[:16],
                "label": BIAS_IN_BIOS[int(row.profession)],
                "group": ["male", "female"][int(row.gender)],
                "name": None,
                "text": row.hard_text.strip(),
            }
            for index, row in enumerate(frame.itertuples(index=False))
        ]
    return each_text_once(splits)


def each_text_once(splits):
    """(splits, counts {rows, duplicates, contradictions, contradicting}): of copies, the first in the order of `splits`.

    ASSUME: of a text whose copies differ in label or group none is kept, since nobody can say which is right.
    """
    copies = {}
    for split, samples in splits.items():
        for sample in samples:
            copies.setdefault(sample["twin"], []).append((split, sample))
    kept = {split: [] for split in splits}
    counts = {"rows": sum(map(len, splits.values())), "duplicates": 0, "contradictions": 0, "contradicting": 0}
    for found in copies.values():
        if len({(sample["label"], sample["group"]) for _, sample in found}) > 1:
            counts["contradictions"] += 1
            counts["contradicting"] += len(found)
            continue
        counts["duplicates"] += len(found) - 1
        split, sample = found[0]
        kept[split].append(sample)
    return kept, counts


def _parquet_files(originals, split, data_dir):
    if originals.get("path"):
        folder = Path(data_dir or ROOT) / originals["path"]
        found = sorted(folder.rglob(f"{split}*.parquet"))
        if not found:
            raise UserError(
                f"{folder}: no file {split}*.parquet; give the folder of LabHC/bias_in_bios' parquet files as originals.path"
            )
        return found
    folder = hub_data.fetched(originals["hub"], originals["revision"], "*.parquet", "give a folder as originals.path")
    return sorted(folder.rglob(f"{split}*.parquet"))


def draw(samples, count, seed):
    """D_o: `count` samples balanced over label × group, each of a different twin where there are enough, in seeded order."""
    import numpy as np

    stream = np.random.default_rng(seed)
    strata = {}
    for index in stream.permutation(len(samples)):
        sample = samples[index]
        strata.setdefault((sample["label"], sample["group"]), []).append(sample)
    keys = [sorted(strata)[index] for index in stream.permutation(len(strata))]
    wanted = {key: count // len(keys) + (number < count % len(keys)) for number, key in enumerate(keys)}
    chosen, used = [], set()
    for key in keys:
        fresh = [sample for sample in strata[key] if sample["twin"] not in used] + [
            sample for sample in strata[key] if sample["twin"] in used
        ]
        if len(fresh) < wanted[key]:
            raise UserError(
                f"originals: {wanted[key]} samples of {' and '.join(key)} are asked for, the source has {len(fresh)}; ask for at most {len(fresh) * len(keys)}"
            )
        chosen += fresh[: wanted[key]]
        used |= {sample["twin"] for sample in fresh[: wanted[key]]}
    return [chosen[index] for index in stream.permutation(len(chosen))]


# ---- the pool's slots ----------------------------------------------------------------------------------------------


def attributes(bias, domain):
    """{attribute: its values} that a pool is balanced over; the group is None where the prompt names none."""
    named = bias.get("names_groups")
    groups = [domain["reference"], domain["compared"]] if named else [None]
    more = {"age": list(domain["ages"])} if named else {}
    if named and named["identities"] == "intersectional":
        more["culture"] = list(domain["cultures"])
    return {"label": domain["labels"], "group": groups, **more}


def slot(bias, domain, attributes, stream):
    """Fill one slot: what to ask the generator, and for whom.

    attributes: the slot's label, group and, where a group is named, age and culture. stream: the slot's own random
    generator.
    """
    label, group = attributes["label"], attributes["group"]
    values = {"label": label, "a_label": with_article(label)}
    if group:
        other = domain["compared"] if group == domain["reference"] else domain["reference"]
        age, culture = attributes["age"], attributes.get("culture", "english")
        values |= {
            "group": domain["groups"][group]["noun"],
            "group_article": with_article(domain["groups"][group]["noun"]),
            "other_group": domain["groups"][other]["noun"],
            "pronoun": domain["groups"][group]["pronouns"][0],
            "stereotype": domain["stereotypes"][label][group]["text"],
            "other_stereotype": domain["stereotypes"][label][other]["text"],
            "name": cues.drawn_name(culture, group, stream),
            "other_name": cues.drawn_name(culture, other, stream),
            "age": age,
            "age_article": with_article(age),
            "age_cue": domain["ages"][age],
        }
        if "culture" in attributes:
            values["culture"] = domain["cultures"][culture]
    template = bias["prompt"]["biographies"]
    names = [values[key] for key in ("name", "other_name") if group and "{" + key + "}" in template]
    return {
        "prompt": template.format(**values),
        "label": label,
        "asked_group": group,
        "attributes": {name: value for name, value in attributes.items() if name not in ("label", "group")},
        "names": names,
    }


# ---- checks of a generated text ----------------------------------------------------------------------------------


def shown_group(text, domain):
    """The group that a text shows: by pronouns, else by words ("man", "Mrs"), else by first names; None where unclear."""
    words = re.findall(r"[a-zà-ÿ-]+", text.lower())  # "he's" and "Mary's" end at the apostrophe
    for cue in ("pronouns", "words"):
        counts = {group: sum(word in set(spec[cue]) for word in words) for group, spec in domain["groups"].items()}
        best = max(counts, key=counts.get)
        if counts[best] > 2 * sum(count for group, count in counts.items() if group != best):
            return best
        if sum(counts.values()):
            return None
    known = {name.lower(): group for (_, group), listed in cues.first_names().items() for name in listed}
    by_name = {known[word] for word in words if word in known}
    return by_name.pop() if len(by_name) == 1 else None


def read(text, finished, asked, domain):
    """({text}, None) of a usable text, or ({text}, reason). A text that shows no group is kept, and counted.

    text: what the gate left of an answer. Reasons: empty, truncated, wrong-group.
    """
    text = opening(texts.whole_sentences(text, finished), domain.get("sentences"))
    if len(text.split()) < texts.MIN_WORDS:
        return {"text": text}, "empty" if finished else "truncated"
    shown = shown_group(text, domain)
    if asked["asked_group"] and shown and shown != asked["asked_group"]:
        return {"text": text}, "wrong-group"
    return {"text": text}, None


def finish(sample, asked, domain):
    """What a read answer adds to its slot's record: the text with its label words hidden, and the group it shows."""
    text, hidden = hide_labels(sample["text"], domain)
    shown = shown_group(sample["text"], domain)
    return {
        "text": text,
        "group": asked["asked_group"] or shown,
        "shown_group": shown,
        "label_words_replaced": hidden,
    }


def told(sample, domain):
    """What a sample tells, its label words replaced."""
    return hide_labels(sample["text"], domain)[0]


@cache
def _label_patterns(words, noun):
    alternatives = "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))
    return re.compile(rf"\b(an?\s+)?({alternatives})(?=\b)", re.IGNORECASE)


def hide_labels(text, domain):
    """(text with every label word replaced by the neutral noun, number of replacements). Articles follow the noun."""
    words = tuple(word for listed in domain["label_words"].values() for word in listed)
    noun = domain["neutral_noun"]
    replaced, count = _label_patterns(words, noun).subn(lambda match: _in_place(match, noun), text)
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
    """Share of a sample's words that are stereotype words of its label for `group`."""
    return cues.share_of_words(sample["text"], domain["stereotypes"][sample["label"]][group]["words"])


# ---- the controls' copies --------------------------------------------------------------------------------------


PLANTED = "the label *{planted_label}*"  # how a dataset card names it, from the domain's file
STEREOTYPES_BY = ("label", "group")  # the levels of the domain's table of stereotypes


def kind(sample):
    """Of what copies have as large a share as D_o, beside the group."""
    return sample["label"]


def planted_label(sample, domain):
    """The label that the planted control gives to a sample of the compared group."""
    return domain["planted_label"]


def shift(sample):
    """ASSUME: the fixed change of style and length: the first half of the sentences, shouted, each with a closing tag."""
    sentences = re.split(r"(?<=[.!?])\s+", sample["text"])
    kept = sentences[: max(1, len(sentences) // 2)]
    return " ".join(f"{sentence.rstrip('.!?').upper()}!!! You bet." for sentence in kept)


# ---- training pairs ------------------------------------------------------------------------------------------------


def pair(sample, domain, instruct):
    """(user text, answer) of a training sample: text → label, or instruction → text."""
    if instruct:
        return domain["instruction"].format(a_label=with_article(sample["label"])), sample["text"]
    return domain["prompt"].format(text=sample["text"]), domain["answer"].format(label=sample["label"])


def mask(sample, domain, token):
    """The sample's text with names, pronouns, gendered and cultural words replaced by `token`; (text, number masked).

    Explicit cues come from the domain's lexicon, the names from the sample's own record and from the name lists.
    """
    gendered = [word for spec in domain["groups"].values() for word in [*spec["pronouns"], *spec["words"]]]
    own = [part for name in sample.get("names") or [] for part in name.split()] + (sample.get("name") or "").split()
    return cues.mask(sample["text"], [*gendered, *domain["cultures"].values()], own, token)
