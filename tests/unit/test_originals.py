"""The biographies that ship, and the loader of the hub's data set."""

import itertools
import json
import re
from collections import Counter

import pytest
from bias_inheritance.data import cues, labelled
from bias_inheritance.plumbing import files
from bias_inheritance.plumbing.errors import UserError
from bias_inheritance.plumbing.provenance import ROOT
from bias_inheritance.study import catalog

STEMS = re.compile(r"\b(architect|nurs|dentist|dental|paint|profess|software|engineer)", re.IGNORECASE)


def words(text):
    return re.findall(r"[\w'’-]+", text.lower())


def everything(splits):
    return [sample for split in splits.values() for sample in split]


def test_at_least_forty_twins_per_occupation(splits, domain):
    twins = {label: {s["twin"] for s in everything(splits) if s["label"] == label} for label in domain["labels"]}
    assert all(len(label_twins) >= 40 for label_twins in twins.values())


def test_splits_share_no_twin(splits):
    twins = {name: {s["twin"] for s in split} for name, split in splits.items()}
    for first, second in itertools.combinations(twins, 2):
        assert not twins[first] & twins[second]


def test_the_label_is_never_named(splits):
    assert [s["id"] for s in everything(splits) if STEMS.search(s["text"])] == []


def test_lengths_and_openings_vary(splits):
    lengths = [len(s["text"].split()) for s in everything(splits)]
    assert min(lengths) >= 40
    assert max(lengths) <= 120
    openings = Counter(" ".join(words(s["text"])[:3]) for s in everything(splits) if s["group"] == "male")
    assert openings.most_common(1)[0][1] <= 3


def test_twins_differ_in_name_and_pronouns_alone(splits):
    pairs = {}
    for sample in everything(splits):
        pairs.setdefault(sample["twin"], {})[sample["group"]] = sample
    pronouns = {"he", "him", "his", "himself", "she", "her", "herself"}
    for twin in pairs.values():
        male, female = words(twin["male"]["text"]), words(twin["female"]["text"])
        names = set(words(twin["male"]["name"])) | set(words(twin["female"]["name"]))
        assert len(male) == len(female)
        assert male != female
        for first, second in zip(male, female, strict=True):
            if first != second:
                assert {re.sub(r"['’]s$", "", word) for word in (first, second)} <= pronouns | names


def test_cues_of_english_texts_are_those_between_word_boundaries(splits, domain):
    """The pattern that serves all scripts finds in English what a plain one finds."""
    names = {name for listed in cues.first_names().values() for name in listed}
    words = cues.words_of(domain["groups"])
    plain = re.compile(rf"\b(?:{'|'.join(sorted(names, key=len, reverse=True))}|(?i:{'|'.join(words)}))\b")
    for text in [sample["text"] for samples in splits.values() for sample in samples]:
        assert cues.mask(text, words, [], "[MASK]") == plain.subn("[MASK]", text)


def test_no_six_words_are_shared_between_twins(splits):
    owner, shared = {}, set()
    for sample in everything(splits):
        text_words = words(sample["text"])
        for start in range(len(text_words) - 5):
            gram = tuple(text_words[start : start + 6])
            if owner.setdefault(gram, sample["twin"]) != sample["twin"]:
                shared.add(gram)
    assert not shared


def test_word_counts_tell_occupations_neither_badly_nor_perfectly(splits):
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    model = make_pipeline(CountVectorizer(stop_words="english"), LogisticRegression(max_iter=2000))
    model.fit([s["text"] for s in splits["source"]], [s["label"] for s in splits["source"]])
    accuracy = model.score([s["text"] for s in splits["test"]], [s["label"] for s in splits["test"]])
    assert 0.60 <= accuracy <= 0.90


def content_twins(domain):
    """[(label, content, row of the file)] of the biographies that follow a stereotype."""
    folder = ROOT / domain["data"]["content"]
    return [
        (label, row["content"], row)
        for label in domain["labels"]
        for row in files.read_jsonl(folder / f"{label.replace(' ', '-')}.jsonl")
    ]


def test_eight_twins_per_occupation_and_content_each_for_both_groups(splits, domain):
    twins = Counter((sample["label"], sample["content"], sample["group"]) for sample in splits["content"])
    assert twins.keys() == set(itertools.product(domain["labels"], domain["groups"], domain["groups"]))
    assert min(twins.values()) >= 8
    assert not any("content" in sample for name in ("source", "reserve", "test") for sample in splits[name])


def test_a_content_has_words_of_its_own_stereotype_and_none_of_the_other(domain):
    for label, content, row in content_twins(domain):
        text = row["text"].lower()
        used = {
            group: {word for word in spec["words"] if cues.share_of_words(text, [word])}
            for group, spec in domain["stereotypes"][label].items()
        }
        assert len(used.pop(content)) >= 2, row["id"]
        assert not set().union(*used.values()), row["id"]


def test_both_contents_of_an_occupation_are_of_similar_length(domain):
    lengths = {}
    for label, content, row in content_twins(domain):
        lengths.setdefault((label, content), []).append(len(row["text"].split()))
    means = {key: sum(word_counts) / len(word_counts) for key, word_counts in lengths.items()}
    for label in domain["labels"]:
        first, second = (means[label, group] for group in domain["groups"])
        assert abs(first - second) < 0.1 * min(first, second)


def test_the_group_shows_in_placeholders_alone(domain):
    """Names and pronouns are the only words by which a text with a slant shows the group of its subject."""
    gendered = {word for spec in domain["groups"].values() for word in [*spec["pronouns"], *spec["words"]]}
    known = {
        "name",
        "first",
        *domain["groups"]["male"]["forms"],
        *(key.capitalize() for key in domain["groups"]["male"]["forms"]),
    }
    surnames = set()
    for _, _, row in content_twins(domain):
        placeholders = set(re.findall(r"\{(\w*)\}", row["text"]))
        assert placeholders <= known and placeholders & {"name", "first"}, row["id"]
        assert not gendered & set(words(re.sub(r"\{\w*\}", " ", row["text"]))), row["id"]
        assert row["male"].split()[-1] == row["female"].split()[-1] not in surnames, row["id"]
        surnames.add(row["male"].split()[-1])


def test_both_contents_are_known_as_the_occupation_by_the_words_of_other_texts(splits):
    """A model trained on neither stereotypes nor these texts recognises either content's occupation far above chance,
    1/6.
    """
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    model = make_pipeline(CountVectorizer(stop_words="english"), LogisticRegression(max_iter=2000))
    model.fit([s["text"] for s in splits["source"]], [s["label"] for s in splits["source"]])
    for content in ("male", "female"):
        samples = [sample for sample in splits["content"] if sample["content"] == content]
        assert model.score([s["text"] for s in samples], [s["label"] for s in samples]) >= 0.60


def test_content_is_read_only_where_the_domain_names_it_whatever_the_loader(domain, tmp_path):
    without = {key: value for key, value in domain["data"].items() if key != "content"}
    assert "content" not in labelled.load({**domain, "data": without})[0]
    named = [f"resources/biographies/content/{label.replace(' ', '-')}.jsonl" for label in domain["labels"]]
    assert set(labelled.files_read(domain, None)) - set(labelled.files_read({**domain, "data": without}, None)) == {
        *named
    }
    real = bias_in_bios(tmp_path)
    real = {**real, "data": {**real["data"], "content": domain["data"]["content"]}}
    assert {sample["label"] for sample in labelled.load(real)[0]["content"]} == set(PROFESSIONS.values())
    assert labelled.files_read(real, None)[1:] == [
        path for path in named if not re.search("architect|dentist|painter", path)
    ]


@pytest.mark.parametrize(("field", "value"), [("content", "mail"), ("split", "trian")])
def test_a_twin_of_an_unknown_content_or_split_is_told(domain, tmp_path, field, value):
    row = {"id": "nurse-1", "split": "test", "content": "male", "male": "A B", "female": "C B", "text": "{name}"}
    (tmp_path / "nurse.jsonl").write_text(json.dumps({**row, field: value}), encoding="utf-8")
    data = {"twins": str(tmp_path), "content": str(tmp_path)}
    with pytest.raises(UserError, match=rf"nurse\.jsonl: {field} of nurse-1 is '{value}'; it must be one of "):
        labelled.load({**domain, "data": data, "labels": ["nurse"]})


def test_prepared_test_samples_hold_the_content_twins_and_say_which_they_are(tmp_path, domain, splits):
    from prepare_originals import prepare_originals

    paths = [tmp_path / name for name in ("source.jsonl", "reserve.jsonl", "test.jsonl", "counts.json")]
    prepare_originals([], *paths, domain, None)
    assert files.read_jsonl(paths[2]) == splits["test"] + splits["content"]
    assert files.read_json(paths[3])["content"] == len(splits["content"])


@pytest.mark.parametrize("count", [12, 48, 50, 96])
def test_draw_is_balanced_seeded_and_without_a_twin_twice(splits, domain, count):
    drawn = labelled.draw(splits["source"], count, 7)
    assert drawn == labelled.draw(splits["source"], count, 7)
    assert drawn != labelled.draw(splits["source"], count, 8)
    strata = Counter((s["label"], s["group"]) for s in drawn)
    assert len(drawn) == count
    assert max(strata.values()) - min(strata.values()) <= 1
    assert len({s["twin"] for s in drawn}) == count


def test_draw_says_how_many_there_are(splits):
    with pytest.raises(UserError, match="request at most 288"):
        labelled.draw(splits["source"], 400, 1)


PROFESSIONS = {13: "nurse", 21: "professor", 24: "software engineer"}


def bias_in_bios(folder, texts=24, **changes):
    """The domain of a folder with files of BiasInBios, with three of the four professions in the files."""
    import pandas as pd

    for split in ("train", "dev", "test"):
        rows = [
            {"hard_text": f"{split} text {n}", "profession": [*PROFESSIONS, 3][n // 2 % 4], "gender": n % 2} for n in range(4 * texts)
        ]  # fmt: skip
        pd.DataFrame(rows).assign(**changes).to_parquet(folder / f"{split}-00000-of-00001.parquet")
    shipped = catalog.load("domain", "gender-bias-in-bios")
    data = {**shipped["data"], "files": str(folder), "content": None}
    return {**shipped, "data": data, "labels": PROFESSIONS, "swap": []}


def test_bias_in_bios_reads_the_hubs_columns_and_splits(tmp_path):
    domain = bias_in_bios(tmp_path)
    by_split, counts = labelled.load(domain)
    assert {split: len(samples) for split, samples in by_split.items()} == {"source": 72, "reserve": 72, "test": 72}
    assert {sample["label"] for sample in by_split["source"]} == set(PROFESSIONS.values())
    assert counts["reasons"] == {"unlisted label": 72} and counts["unlisted"] == {"label": {"3": 72}}
    first = next(sample for sample in by_split["source"] if sample["text"] == "train text 1")
    assert (first["label"], first["group"], first["name"]) == ("nurse", "female", None)
    assert re.fullmatch("[0-9a-f]{16}", first["twin"])
    assert labelled.files_read(domain, None) == [str(tmp_path)]


def test_professions_may_stand_in_the_data_by_name(tmp_path):
    names = [[*PROFESSIONS.values(), "poet"][n // 2 % 4] for n in range(96)]
    domain = {**bias_in_bios(tmp_path, profession=names), "labels": ["nurse", "poet"]}
    by_split, _ = labelled.load(domain)
    assert {sample["label"] for sample in by_split["test"]} == {"nurse", "poet"}


def test_a_biography_of_bias_in_bios_is_in_one_split_once(tmp_path):
    import pandas as pd

    domain, path = bias_in_bios(tmp_path), tmp_path / "train-00000-of-00001.parquet"
    table = pd.read_parquet(path)
    nurse, engineer = (table.index[table["profession"] == number] for number in (13, 24))
    table.loc[nurse[2], "hard_text"] = table.loc[nurse[0], "hard_text"]
    table.loc[nurse[4], "hard_text"] = "test  text 0 "
    table.loc[[nurse[5], engineer[0]], "hard_text"] = "clash"
    table.to_parquet(path)
    by_split, counts = labelled.load(domain)
    texts = [sample["text"] for split in by_split.values() for sample in split]
    assert len(texts) == len({" ".join(text.split()) for text in texts}) == 216 - 4 and "clash" not in texts
    assert counts["reasons"] == {"contradiction": 2, "duplicate": 2, "unlisted label": 72}


def test_a_text_in_the_training_and_the_test_split_stays_in_the_test_split(tmp_path):
    import pandas as pd

    domain, path = bias_in_bios(tmp_path), tmp_path / "train-00000-of-00001.parquet"
    table = pd.read_parquet(path)
    table.loc[table.index[table["profession"] == 13][0], "hard_text"] = "test text 0"
    table.to_parquet(path)
    by_split, counts = labelled.load(domain)
    texts = {split: [sample["text"] for sample in samples] for split, samples in by_split.items()}
    assert (
        "test text 0" in texts["test"] and "test text 0" not in texts["source"] and counts["reasons"]["duplicate"] == 1
    )


def test_what_the_data_lack_is_told_before_anything_is_split(tmp_path):
    with pytest.raises(UserError, match="no row has the group '0'; unlisted values are '5'"):
        labelled.load(bias_in_bios(tmp_path, gender=5))
    with pytest.raises(UserError, match="no usable text"):
        labelled.load(bias_in_bios(tmp_path, hard_text=" "))
    domain = bias_in_bios(tmp_path)
    with pytest.raises(
        UserError, match=r"data.split.reserve: the data have no split train2 \(did you mean 'train'\?\)"
    ):
        labelled.load(
            {**domain, "data": {**domain["data"], "split": {"source": "train", "reserve": "train2", "test": "test"}}}
        )


def test_more_texts_than_any_study_draws_are_left_out_evenly_and_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(labelled, "LARGEST", dict.fromkeys(labelled.LARGEST, 30))
    by_split, counts = labelled.load(bias_in_bios(tmp_path))
    assert counts["left_out"] == {"source": 42, "reserve": 42, "test": 57}  # a test text and its twin are two
    assert set(Counter((sample["label"], sample["group"]) for sample in by_split["source"]).values()) == {5}
