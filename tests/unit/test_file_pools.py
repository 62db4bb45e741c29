"""Pools from files: formats of other programs, checks before training, and the order of the samples."""

import json
from collections import Counter
from types import SimpleNamespace

import datasets
import numpy as np
import pandas as pd
import pytest
import yaml
from bias_inheritance.plumbing import files, provenance
from bias_inheritance.plumbing.errors import UserError
from bias_inheritance.pools import balance, from_file
from bias_inheritance.study import catalog, reading, schema
from bias_inheritance.tools import add_domain, add_pool

DOMAIN = {
    "name": "tickets",
    "family": "labelled",
    "labels": ["complaint", "question", "praise"],
    "groups": {"german": {"words": ["berlin", "german"]}, "indian": {"words": ["delhi", "indian"]}},
}
COLUMNS = {"text": "text", "label": "label", "group": "nationality"}


def shown_group(text, domain):
    shown = [group for group, spec in domain["groups"].items() if set(spec["words"]) & set(text.lower().split())]
    return shown[0] if len(shown) == 1 else None


FAMILY = SimpleNamespace(shown_group=shown_group)


def text(number):
    return " ".join(f"word{word}" for word in np.random.default_rng(number).integers(0, 9999, 20))


def chinese(number):
    return "".join(chr(0x4E00 + letter) for letter in np.random.default_rng(number).integers(0, 9999, 20))


def rows(count, start=0):
    """Samples of which every fifth label is praise and every third is from India."""
    return [
        {
            "text": text(start + number),
            "label": "praise" if number % 5 == 0 else ["complaint", "question"][number % 2],
            "nationality": "indian" if number % 3 == 0 else "german",
        }
        for number in range(count)
    ]


@pytest.fixture
def bias(tmp_path):
    """Gives a bias type whose source is a JSON Lines file of some rows."""

    def made(samples, columns=COLUMNS, **source):
        files.write_jsonl(tmp_path / "synthetic.jsonl", samples)
        return {
            "name": "bought",
            "role": "natural",
            "source": {"files": str(tmp_path / "synthetic.jsonl"), "columns": columns, **source},
        }

    return made


def pool(bias, size, originals=(), tests=(), seed=1, **more):
    return from_file.pool(FAMILY, bias, DOMAIN, originals, tests, size, seed, **more)


def test_every_row_of_the_files_is_accounted_for(bias):
    real = [{"id": f"real-{number}", "text": text(number), "label": "question"} for number in range(1000, 1010)]
    listed = rows(60)
    listed[3]["text"] = None
    listed[4]["label"] = ""
    listed[5]["text"] = listed[6]["text"].upper() + "!"
    listed[7] |= {"text": "Well, " + real[0]["text"].title(), "label": "question"}
    listed[8]["text"] = "As said: " + real[9]["text"]
    samples, failures, counts = pool(bias(listed), 40, originals=real[:5], tests=real[5:])
    assert counts["reasons"] == {"duplicate": 1, "empty text": 1, "in originals": 1, "in test": 1, "missing label": 1}
    assert (counts["source_rows"], counts["kept"], counts["unused"]) == (60, 40, 15)
    assert counts["requested"] == counts["kept"] + counts["rejected"] + counts["failed"] == 45
    assert len(failures) == 5 and {failure["outcome"] for failure in failures} == {"failed", "rejected"}
    places = {failure["place"].rpartition(" ")[2]: failure["reason"] for failure in failures}
    assert places == {"4": "empty text", "5": "missing label", "7": "duplicate", "8": "in originals", "9": "in test"}
    assert not {sample["text"] for sample in samples} & {failure["raw_text"] for failure in failures}


def test_every_prefix_has_the_make_up_of_the_file_and_seeds_differ(bias):
    listed = rows(300)
    samples, _, _ = pool(bias(listed), 120)
    labels = Counter(row["label"] for row in listed)
    for size in range(1, 121):
        taken = Counter(sample["label"] for sample in samples[:size])
        assert all(abs(taken[label] - size * labels[label] / 300) < 1 for label in labels)
    kinds = Counter((row["label"], row["nationality"]) for row in listed)
    taken = Counter((sample["label"], sample["group"]) for sample in samples)
    assert all(abs(taken[kind] - kinds[kind] * 120 / 300) <= 2 for kind in kinds)
    assert [sample["slot"] for sample in samples] == list(range(120))
    shorter, _, _ = pool(bias(listed), 50)
    assert [sample["text"] for sample in shorter] == [sample["text"] for sample in samples[:50]]
    other, _, _ = pool(bias(listed), 120, seed=2)
    assert {sample["text"] for sample in other} != {sample["text"] for sample in samples}
    assert len({sample["text"] for sample in other}) == 120


def test_all_of_a_file_can_be_used(bias):
    listed = rows(97)
    samples, _, counts = pool(bias(listed), 97)
    assert {sample["text"] for sample in samples} == {row["text"] for row in listed}
    assert counts["unused"] == 0
    assert balance.largest_difference([None] * 97, [0] * 97, 1) == 0


def test_without_a_column_the_text_shows_the_group(bias):
    listed = rows(12)
    listed[0]["text"] += " from berlin"
    listed[1]["text"] += " from delhi"
    listed[2]["text"] += " from berlin or delhi"
    samples, _, counts = pool(bias(listed, {"text": "text", "label": "label"}), 12)
    groups = Counter(sample["group"] for sample in samples)
    assert groups == {"german": 1, "indian": 1, None: 10} and counts["unclear"] == 10
    listed[2]["nationality"] = None
    samples, _, counts = pool(bias(listed), 12)
    assert counts["unclear"] == 1
    told = {sample["text"]: sample for sample in samples}[listed[0]["text"]]
    assert (told["group"], told["requested_group"], told["shown_group"]) == ("indian", "indian", "german")


def test_labels_and_groups_that_the_domain_does_not_have_are_told(bias):
    listed = rows(20)
    listed[4]["label"] = "complaints"
    with pytest.raises(
        UserError,
        match=r"1 samples have the label 'complaints' \(did you mean 'complaint'\?\); the domain tickets has complaint, question, praise",
    ):
        pool(bias(listed), 5)
    samples, _, counts = pool(bias(listed, labels=["complaint", "question", "praise"]), 19)
    assert len(samples) == 19 and counts["reasons"] == {"unlisted label": 1}
    assert (
        pool(
            bias(
                listed,
                labels={
                    "complaints": "complaint",
                    "complaint": "complaint",
                    "question": "question",
                    "praise": "praise",
                },
            ),
            20,
        )[2]["kept"]
        == 20
    )
    listed[4] |= {"label": "praise", "nationality": "Germany"}
    with pytest.raises(UserError, match=r"the group 'Germany' \(did you mean 'german'\?\)"):
        pool(bias(listed), 5)


def test_the_domains_own_values_stand_for_their_names(bias):
    domain = {
        **DOMAIN,
        "labels": {"1": "complaint", "2": "question", "3": "praise"},
        "groups": {"german": {"words": [], "value": 0}, "indian": {"words": [], "value": [1, 2]}},
    }
    listed = [{"text": text(number), "label": number % 3 + 1, "nationality": number % 2} for number in range(12)]
    samples, _, _ = from_file.pool(FAMILY, bias(listed), domain, [], [], 12, 1)
    assert {sample["label"] for sample in samples} == {"complaint", "question", "praise"}
    assert {sample["group"] for sample in samples} == {"german", "indian"}


def test_a_copy_of_the_test_set_is_refused(bias):
    listed = rows(40)
    tests = [
        {"id": f"t-{number}", "text": row["text"].upper().replace(" ", "  "), "label": row["label"]}
        for number, row in enumerate(listed[:20])
    ]
    with pytest.raises(
        UserError, match=r"20 of 40 samples repeat texts of the test set, first .*synthetic.jsonl, line 1;"
    ):
        pool(bias(listed), 10, tests=tests)
    assert pool(bias(listed), 10, tests=tests[:19])[2]["reasons"] == {"in test": 19}


def test_texts_of_signs_alone_are_compared_as_they_are(bias):
    listed = rows(20)
    for place, signs in enumerate(["👍👍", "👎", "!!!", "👎", "👍 👍"]):
        listed[place] |= {"text": signs, "label": "praise", "nationality": "indian"}
    tests = [{"id": "t", "text": "!!!", "label": "praise"}]
    assert pool(bias(listed), 10, tests=tests)[2]["reasons"] == {"duplicate": 1, "in test": 1}


def test_copies_of_the_originals_are_counted_and_refused_if_nothing_else_is_left(bias):
    listed, written = rows(40), rows(10, start=500)
    real = [{"id": f"r-{number}", **row} for number, row in enumerate(listed)]
    relabelled = [{**row, "label": "praise" if row["label"] == "question" else "question"} for row in listed]
    split = {"originals": real[:15], "others": real[15:30], "tests": real[30:]}
    for copied, reason in ((listed, "in originals"), (relabelled, "contradicts originals")):
        _, failures, counts = pool(bias(copied + written), 10, **split)
        assert counts["reasons"] == {reason: 30, "in test": 10} and counts["kept"] == 10
        assert counts["rejected"] == len(failures) == 40
        with pytest.raises(UserError, match=rf"no sample is left \(not usable: {reason} 30, in test 10\)"):
            pool(bias(copied), 10, **split)


def test_too_few_samples_are_told_with_what_was_not_usable(bias):
    listed = rows(30)
    listed[0]["text"] = ""
    with pytest.raises(
        UserError,
        match=r"the largest γ needs 30 samples in tickets, the files have 29 usable ones; .* \(not usable: empty text 1\)",
    ):
        pool(bias(listed), 30)
    with pytest.raises(UserError, match=r"the largest γ needs 30 samples"):
        from_file.check(bias(listed), DOMAIN, 30)
    from_file.check(bias(listed), DOMAIN, 29)


def test_a_file_that_changes_under_the_run_is_told(bias, tmp_path, monkeypatch):
    made = bias(rows(30))
    planned = provenance.digests(from_file.files_read(made))
    assert planned == {str(tmp_path / "synthetic.jsonl"): provenance.sha256(tmp_path / "synthetic.jsonl")}
    assert pool(made, 20, planned=planned)[2]["files"] == planned
    bias(rows(31))
    with pytest.raises(UserError, match="synthetic.jsonl: changed after the run was planned"):
        pool(made, 20, planned=planned)
    read = from_file.tables.read
    monkeypatch.setattr(from_file.tables, "read", lambda *words, **more: (read(*words, **more), bias(rows(32)))[0])
    with pytest.raises(UserError, match="synthetic.jsonl: changed while it was read"):
        pool(made, 20)
    (tmp_path / "synthetic.jsonl").unlink()
    with pytest.raises(UserError, match="synthetic.jsonl: there is no such file"):
        from_file.check(made, DOMAIN, 20)


# ---- files as the four writers write them ------------------------------------------------------------------------------


def distilabel(folder, samples):
    """distilabel 1.5: Distiset.save_to_disk, one folder a leaf step; a failed generation is null."""
    made = [
        {
            "instruction": f"Write a {row['label']}.",
            "label": row["label"],
            "nationality": row["nationality"],
            "generation": row["text"],
            "model_name": "some/model",
            "distilabel_metadata": {
                "raw_input_text_generation_0": [{"content": "Write.", "role": "user"}],
                "raw_output_text_generation_0": row["text"],
                "statistics_text_generation_0": {"input_tokens": 7, "output_tokens": 20},
            },
        }
        for row in samples
    ]
    made.append({**made[0], "generation": None})
    datasets.DatasetDict({"train": datasets.Dataset.from_list(made)}).save_to_disk(folder / "distiset" / "default")
    return {"files": "distiset/default", "columns": {"text": "generation", "label": "label", "group": "nationality"}}


def curator(folder, samples):
    """Curator 0.1: the rows returned by `parse` in an Arrow file of its cache, each with the row it was generated from."""
    made = [
        {"review": row["text"], "label": row["label"], "nationality": row["nationality"], "__original_row_idx": number}
        for number, row in enumerate(samples)
    ]
    with datasets.arrow_writer.ArrowWriter(path=str(folder / "0f3a.arrow")) as writer:
        for row in made:
            writer.write(row)
        writer.finalize()
    return {"files": "0f3a.arrow", "columns": {"text": "review", "label": "label", "group": "nationality"}}


def data_designer(folder, samples):
    """Data Designer 0.9: batches of Parquet files with structured columns and the trace of a column."""
    (folder / "parquet-files").mkdir()
    made = [
        {
            "customer": {"nationality": row["nationality"], "age": 30 + number % 40},
            "kind": row["label"],
            "ticket": {"subject": "Subject", "body": row["text"]},
            "ticket__trace": [{"role": "user", "content": "Write."}, {"role": "assistant", "content": row["text"]}],
        }
        for number, row in enumerate(samples)
    ]
    for number in range(2):
        frame = pd.DataFrame(made[number::2])
        frame.to_parquet(folder / "parquet-files" / f"batch_{number:05d}.parquet")
    return {
        "files": "parquet-files",
        "columns": {"text": "ticket.body", "label": "kind", "group": "customer.nationality"},
    }


def data_designer_export(folder, samples):
    """Data Designer's export to JSON Lines."""
    data_designer(folder, samples)
    frame = pd.concat(map(pd.read_parquet, sorted((folder / "parquet-files").glob("*.parquet"))))
    frame.to_json(folder / "export.jsonl", orient="records", lines=True, force_ascii=False)
    return {
        "files": "export.jsonl",
        "columns": {"text": "ticket__trace[-1].content", "label": "kind", "group": "customer.nationality"},
    }


def kit_pairs(folder, samples):
    """synthetic-data-kit 0.0: what `create` and `curate` write, one indented JSON object a document."""
    pairs = [{"question": row["text"], "answer": row["label"], "rating": 8.5} for row in samples]
    conversations = [
        [
            {"role": "system", "content": "You help."},
            {"role": "user", "content": pair["question"]},
            {"role": "assistant", "content": pair["answer"]},
        ]
        for pair in pairs
    ]
    made = {
        "summary": "A summary.",
        "qa_pairs": pairs,
        "conversations": conversations,
        "metrics": {"total": len(pairs)},
    }
    (folder / "pairs.json").write_text(json.dumps(made, indent=2))
    return {"files": "pairs.json", "columns": {"text": "qa_pairs[].question", "label": "qa_pairs[].answer"}}


def kit_conversations(folder, samples):
    kit_pairs(folder, samples)
    return {
        "files": "pairs.json",
        "columns": {"text": "conversations[][1].content", "label": "conversations[][2].content"},
    }


def kit_messages(folder, samples, lines=True):
    """`save-as`: chatml as JSON Lines, ft as one list of the same objects."""
    made = [
        {
            "messages": [
                {"role": "system", "content": "You help."},
                {"role": "user", "content": row["text"]},
                {"role": "assistant", "content": row["label"]},
            ]
        }
        for row in samples
    ]
    if lines:
        files.write_jsonl(folder / "messages.jsonl", made)
    else:
        (folder / "messages.json").write_text(json.dumps(made, indent=2))
    return {
        "files": "messages.jsonl" if lines else "messages.json",
        "columns": {"text": "messages[1].content", "label": "messages[-1].content"},
    }


def kit_list_of_messages(folder, samples):
    return kit_messages(folder, samples, lines=False)


def kit_alpaca(folder, samples):
    made = [{"instruction": row["label"], "input": "", "output": row["text"]} for row in samples]
    datasets.Dataset.from_list(made).save_to_disk(folder / "alpaca")
    return {"files": "alpaca", "columns": {"text": "output", "label": "instruction"}}


WRITERS = [
    distilabel,
    curator,
    data_designer,
    data_designer_export,
    kit_pairs,
    kit_conversations,
    kit_messages,
    kit_list_of_messages,
    kit_alpaca,
]


@pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__)
def test_files_of_the_four_writers_are_read(tmp_path, write):
    listed = rows(30)
    source = write(tmp_path, listed)
    made = {"name": "bought", "role": "natural", "source": {**source, "files": str(tmp_path / source["files"])}}
    samples, failures, counts = pool(made, 30)
    groups = {row["text"]: row["nationality"] if "group" in source["columns"] else None for row in listed}
    labels = {row["text"]: row["label"] for row in listed}
    assert {sample["text"]: sample["label"] for sample in samples} == labels
    assert {sample["text"]: sample["group"] for sample in samples} == groups
    assert [failure["reason"] for failure in failures] == (["empty text"] if write is distilabel else [])
    assert counts["requested"] == counts["source_rows"]


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with an empty catalog, to which the commands write."""
    monkeypatch.setattr(catalog, "CATALOG", tmp_path / "project" / "catalog")
    return tmp_path / "project"


def test_one_column_does_not_serve_as_both_label_and_group(tmp_path, project):
    """Accents by nationality: labels and groups have the same names, and the synthetic samples have no group column."""
    names = ["german", "indian"]
    real = [
        {"words": f"{text(number)} says the {names[number % 2]}", "accent": names[number // 2 % 2], "nationality": names[number % 2]}
        for number in range(160)
    ]  # fmt: skip
    files.write_jsonl(tmp_path / "real.jsonl", real)
    synthetic = [
        {"words": f"{text(1000 + number)} says the indian", "accent": names[number % 2]} for number in range(60)
    ]
    files.write_jsonl(tmp_path / "synthetic.jsonl", synthetic)
    list(add_domain.add_domain("accents", tmp_path / "real.jsonl", label="accent", group="nationality", root=project))
    list(add_pool.add_pool("bought", tmp_path / "synthetic.jsonl", "accents", root=project))
    written = yaml.safe_load((project / "catalog" / "biases" / "bought.yaml").read_text())
    assert written["source"]["columns"] == {"text": "words", "label": "accent"}

    study = project / "studies" / "accents.yaml"
    pools = yaml.safe_load(study.read_text())["grid"]["bias"]
    study.write_text(study.read_text().replace(f"[{', '.join(pools)}]", "[]"))
    list(add_pool.add_pool("first", tmp_path / "synthetic.jsonl", "accents", root=project))
    assert yaml.safe_load(study.read_text())["grid"]["bias"] == ["first"]
    study.write_text("study: accents\n")
    with pytest.raises(UserError, match=r"studies/accents.yaml: grid.bias is not a list on one line"):
        list(add_pool.add_pool("second", tmp_path / "synthetic.jsonl", "accents", root=project))
    study.unlink()
    with pytest.raises(UserError, match=r"studies/accents.yaml: there is no such study"):
        list(add_pool.add_pool("second", tmp_path / "synthetic.jsonl", "accents", root=project))


def test_add_pool_compares_with_the_real_texts_as_the_study_cuts_them(project, tmp_path):
    real = [
        {"text": f"Great {number}. Love it. {text(number)}", "topic": "xy"[number % 2], "place": "ab"[number // 2 % 2]}
        for number in range(160)
    ]
    files.write_jsonl(tmp_path / "real.jsonl", real)
    list(add_domain.add_domain("cut", tmp_path / "real.jsonl", root=project))
    study = project / "studies" / "cut.yaml"
    study.write_text(study.read_text().replace("sentences: null", "sentences: 2"))
    cut = [{**row, "text": f"Great {number}. Love it."} for number, row in enumerate(real)]
    written = [{**row, "text": text(1000 + number)} for number, row in enumerate(real)]
    files.write_jsonl(tmp_path / "synthetic.jsonl", cut[:40] + written)
    lines = list(add_pool.add_pool("bought", tmp_path / "synthetic.jsonl", "cut", root=project))
    assert sum(int(line.split()[-1]) for line in lines if "in originals" in line or "in test" in line) == 40


def test_the_name_of_a_group_is_a_cue_in_any_script(project, tmp_path):
    real = [
        {"text": f"{chinese(number)}这位{place}说。", "topic": "xy"[number % 2], "place": place}
        for number, place in enumerate(["北京人", "上海人"] * 40 + ["上海人", "北京人"] * 40)
    ]
    files.write_jsonl(tmp_path / "real.jsonl", real)
    list(add_domain.add_domain("places", tmp_path / "real.jsonl", root=project))
    groups = yaml.safe_load((project / "catalog/domains/places.yaml").read_text())["groups"]
    assert {group: spec["words"] for group, spec in groups.items()} == {"北京人": ["北京人"], "上海人": ["上海人"]}


def test_labels_and_groups_of_a_file_are_renamed_and_long_texts_cut_by_options(project, tmp_path):
    real = [
        {"text": text(number), "stars": [1, "1", 5][number % 3], "accent": "ab"[number // 3 % 2]}
        for number in range(180)
    ]
    real[0]["text"] += " word" * 20_000
    files.write_jsonl(tmp_path / "real.jsonl", real)
    with pytest.raises(UserError, match=r"a text of .* characters; .* \(--longest-text of add-domain and add-pool\)"):
        list(add_domain.add_domain("stars", tmp_path / "real.jsonl", root=project))
    with pytest.raises(
        UserError, match=r"the label \"1\" is a text.*list it under catalog/domains/stars.yaml: labels to make"
    ):
        list(add_domain.add_domain("stars", tmp_path / "real.jsonl", longest_text=500, root=project))
    labels = {1: "bad", 5: "good"}
    list(add_domain.add_domain("stars", tmp_path / "real.jsonl", longest_text=500, labels=labels, root=project))
    domain = yaml.safe_load((project / "catalog/domains/stars.yaml").read_text())
    assert domain["labels"] == labels and domain["data"]["longest_text"] == 500

    samples = [
        {"text": text(1000 + number), "kind": ["poor", "fine"][number % 2], "from": number // 2 % 2}
        for number in range(60)
    ]
    files.write_jsonl(tmp_path / "synthetic.jsonl", samples)
    with pytest.raises(UserError, match=r"30 samples have the label 'poor'.*\(--labels of add-pool\)"):
        list(add_pool.add_pool("bought", tmp_path / "synthetic.jsonl", "stars", label="kind", root=project))
    named = {"labels": {"poor": "bad", "fine": "good"}, "groups": {0: "a", 1: "b"}}
    list(add_pool.add_pool("bought", tmp_path / "synthetic.jsonl", "stars", **named, root=project))
    source = yaml.safe_load((project / "catalog/biases/bought.yaml").read_text())["source"]
    assert {key: source[key] for key in named} == named
    assert source["columns"] == {"text": "text", "label": "kind", "group": "from"}


def chats(count):
    """Conversations whose question is the text and whose answer is its label."""
    return [
        {"messages": [{"role": "user", "content": text(number)}, {"role": "assistant", "content": "xy"[number % 2]}],
         "from": {"place": "ab"[number // 2 % 2]}}
        for number in range(count)
    ]  # fmt: skip


def test_a_column_may_be_named_by_any_path_with_values(project, tmp_path):
    files.write_jsonl(tmp_path / "real.jsonl", chats(160))
    files.write_jsonl(tmp_path / "synthetic.jsonl", chats(220)[160:])
    roles = {"text": "messages[0].content", "label": "messages[1].content", "group": "from.place"}
    with pytest.raises(
        UserError, match=r"no column 'messages\[2\].content' \(did you mean 'messages\[-1\].content'\?\)"
    ):
        list(add_domain.add_domain("chats", tmp_path / "real.jsonl", text="messages[2].content", root=project))
    list(add_domain.add_domain("chats", tmp_path / "real.jsonl", **roles, root=project))
    list(add_pool.add_pool("bought", tmp_path / "synthetic.jsonl", "chats", **roles, root=project))
    for made in ("domains/chats.yaml", "biases/bought.yaml"):
        content = reading.read(project / "catalog" / made)
        assert content.get("data", content.get("source"))["columns"] == roles


def test_listed_values_of_a_pool_find_their_column_and_are_told_if_none_has_them(project, tmp_path):
    files.write_jsonl(tmp_path / "real.jsonl", rows(160))
    list(add_domain.add_domain("few", tmp_path / "real.jsonl", labels=["question", "complaint"], root=project))
    listed = [{**row, "label": number % 4} for number, row in enumerate(rows(120, start=1000))]
    files.write_jsonl(tmp_path / "synthetic.jsonl", listed)

    def add(**options):
        return list(add_pool.add_pool("bought", tmp_path / "synthetic.jsonl", "few", root=project, **options))

    for options, told in (
        ({"labels": {1: "question", 7: "complaint"}}, r"no column has the labels of --labels \(1, 7\); columns are t"),
        ({"labels": {1: "question", 3: "complaint"}, "groups": {"a": "german"}}, r"no column .* --groups \(a\); .* --group$"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=told):
            add(**options)
    assert any("left out: unlisted label 60" in line for line in add(labels={1: "question", 3: "complaint"}))


@pytest.mark.parametrize("length", ["0", "-5", "x"])
def test_a_length_of_texts_is_a_positive_number(tmp_path, capsys, length):
    with pytest.raises(SystemExit):
        add_domain.main(["name", str(tmp_path / "real.jsonl"), "--longest-text", length])
    assert f"--longest-text: {length!r} is not a positive number" in capsys.readouterr().err


def test_one_class_column_is_not_taken_for_the_group_if_its_name_is_that_of_a_label(project, tmp_path):
    files.write_jsonl(tmp_path / "real.jsonl", [{**row, "nationality": "german", "who": "a"} for row in rows(60)])
    with pytest.raises(UserError, match=r"only 'german' in column nationality; a study needs two groups"):
        list(add_domain.add_domain("one", tmp_path / "real.jsonl", root=project))
    files.write_jsonl(
        tmp_path / "real.jsonl", [{**row, "nationality": text(3)[:number]} for number, row in enumerate(rows(60))]
    )
    with pytest.raises(
        UserError, match=r"no column has 2 to 20 different groups; columns are text, label, nationality"
    ):
        list(add_domain.add_domain("one", tmp_path / "real.jsonl", root=project))


def test_a_group_of_two_words_is_a_cue(project, tmp_path):
    real = [
        {"text": f"{text(number)} says the {place.lower()}", "topic": "xy"[number // 2 % 2], "place": place}
        for number, place in enumerate(["New Zealander", "Anglo-Indian"] * 40)
    ]
    files.write_jsonl(tmp_path / "real.jsonl", real)
    list(add_domain.add_domain("places", tmp_path / "real.jsonl", root=project))
    groups = reading.read(project / "catalog/domains/places.yaml")["groups"]
    assert groups == {"New Zealander": {"words": ["new zealander"]}, "Anglo-Indian": {"words": ["anglo-indian"]}}
    files.write_jsonl(
        tmp_path / "synthetic.jsonl",
        [{"text": f"{text(1000 + n)} says the {row['place']}", "topic": row["topic"]} for n, row in enumerate(real)],
    )
    lines = list(add_pool.add_pool("bought", tmp_path / "synthetic.jsonl", "places", root=project))
    assert any("groups read off the text: 0 of 16 show none" in line for line in lines), lines


@pytest.mark.parametrize("name", ["2024", "no", "1e3", "0o17"])
def test_names_and_file_names_that_yaml_would_read_otherwise_stay_texts(project, tmp_path, name):
    real = [{"text": text(n), "label": "ab"[n % 2], "group": "cd"[n // 2 % 2]} for n in range(160)]
    files.write_jsonl(tmp_path / "run:\n#1.jsonl", real)
    files.write_jsonl(tmp_path / "run #2: x.jsonl", [{**row, "text": text(1000 + n)} for n, row in enumerate(real)])
    list(add_domain.add_domain(name, tmp_path / "run:\n#1.jsonl", root=project))
    list(add_pool.add_pool(f"{name}0", tmp_path / "run #2: x.jsonl", name, root=project))
    study = reading.read(project / f"studies/{name}.yaml")
    assert (study["study"], study["grid"]["domain"], study["grid"]["bias"][-1]) == (name, [name], f"{name}0")
    domain, pool = (reading.read(project / f"catalog/{place}.yaml") for place in (f"domains/{name}", f"biases/{name}0"))
    assert domain["title"] == name.capitalize() and pool["title"] == f"{name}0".capitalize()
    assert pool["does"] == "adds the samples of run #2: x.jsonl, which another program wrote"
    assert schema.faults(domain, "domain") == schema.faults(pool, "bias") == []


def test_a_study_of_fifty_labels_and_twenty_groups_has_a_text_of_each_as_far_as_there_are(project, tmp_path):
    real = [
        {"text": text(number), "topic": f"topic {number % 50}", "country": f"country {number // 50 % 20}"}
        for number in range(10_000)
    ]
    files.write_jsonl(tmp_path / "real.jsonl", real)
    list(add_domain.add_domain("many", tmp_path / "real.jsonl", root=project))
    study = yaml.safe_load((project / "studies/many.yaml").read_text())
    assert study["originals"] == 250  # associated-100 takes all texts of a label from one group of the reserve, 5 each
    assert study["evaluation"]["items"] == {"classification": 1000}
