"""Slots, the judgement of a generated text, the controls that copy, and mixes at an exact γ."""

from collections import Counter

import pytest
import write_pool
from bias_inheritance import catalog, files, mixing, pools, study
from bias_inheritance.errors import UserError
from bias_inheritance.families import gender
from bias_inheritance.seeds import record_seed
from check_manipulation import measure

GENERATED = [name for name in catalog.names("bias") if catalog.load("bias", name)["source"] == "generated"]
GOOD = "She grew up by the sea and learned to keep calm. Today she leads a team of nine people."


@pytest.mark.parametrize("name", GENERATED)
def test_slots_are_balanced_and_do_not_depend_on_how_many_are_asked_for(domain, name):
    bias = catalog.load("bias", name)
    slots = pools.slots(gender, bias, domain, 48, (name, 1))
    assert slots[:20] == pools.slots(gender, bias, domain, 20, (name, 1))
    strata = Counter((slot["label"], slot["asked_group"]) for slot in slots)
    assert set(strata.values()) == {48 // len(strata)}
    assert len(strata) == (6 if name == "neutral" else 12)


@pytest.mark.parametrize("name", GENERATED)
def test_a_group_is_named_only_where_the_type_is_explicit(domain, name):
    bias = catalog.load("bias", name)
    slots = pools.slots(gender, bias, domain, 48, (name, 2))
    named = [
        bool({"man", "woman", "he", "she"} & set(slot["prompt"].lower().replace('"', " ").split())) for slot in slots
    ]
    assert all(named) if bias.get("axes", {}).get("signal") == "explicit" else not any(named)


@pytest.mark.parametrize(
    ("raw", "finished", "reason"),
    [
        ("", True, "empty"),
        ("Yes.", True, "empty"),
        ("a text that was cut before any sentence came to its", False, "truncated"),
        ("I'm sorry, but I cannot write that biography for you today.", True, "refusal"),
        (GOOD.replace("She", "He").replace(" she", " he"), True, "wrong-group"),
        (GOOD, True, None),
        (f"Here is a biography: {GOOD}", True, None),
    ],
)
def test_judge_names_the_reason(domain, raw, finished, reason):
    asked = {"asked_group": "female", "names": []}
    assert pools.judge(raw, finished, asked, gender, domain, set())[1] == reason


def test_a_word_of_a_prompt_that_stands_for_nothing_is_one_line_that_names_it(domain):
    bias = {**catalog.load("bias", "neutral"), "prompt": {"gender": "Write of {a_labl}."}}
    with pytest.raises(UserError, match=r"neutral.yaml: prompt: \{a_labl\} stands for nothing"):
        pools.slots(gender, bias, domain, 4, ("x", 1))


def test_judge_cuts_to_whole_sentences_and_finds_duplicates(domain):
    asked = {"asked_group": "female", "names": []}
    sample, reason = pools.judge(f"{GOOD} And then she", False, asked, gender, domain, set())
    assert (sample["text"], reason) == (GOOD, None)
    assert pools.judge(GOOD.upper(), True, asked, gender, domain, {pools.fold(GOOD)})[1] == "duplicate"


def test_label_words_are_replaced_and_counted(domain):
    text, count = gender.hide_labels("An architect met two nurses. Software engineers like painting.", domain)
    assert text == "A specialist met two specialists. Specialists like specialist."
    assert count == 4
    assert gender.hide_labels("The denture and the nursery stay.", domain) == ("The denture and the nursery stay.", 0)


def test_shown_group_by_pronouns_then_names(domain):
    assert gender.shown_group("He paid his rent.", domain) == "male"
    assert gender.shown_group("He met her and she left him.", domain) is None
    assert gender.shown_group("Mary works hard.", domain) == "female"
    assert gender.shown_group("They work hard.", domain) is None


def test_shown_group_by_words_before_names(domain):
    assert gender.shown_group("A man who is a specialist.", domain) == "male"
    assert gender.shown_group("Mr. Smith works hard.", domain) == "male"
    assert gender.shown_group("A woman named James.", domain) == "female"
    assert gender.shown_group("A man and a woman, Mary among them.", domain) is None
    assert gender.shown_group("He helps women and mothers.", domain) == "male"


@pytest.mark.parametrize(("name", "share"), [("planted-000", 0), ("planted-050", 0.5), ("planted-100", 1)])
def test_planted_relabels_the_share_of_the_compared_group_only(splits, domain, name, share):
    originals = gender.draw(splits["source"], 48, 3)
    pool = pools.copies(gender, catalog.load("bias", name), domain, originals, splits["reserve"], 48, 3)
    changed = [sample for sample in pool if "true_label" in sample]
    assert len(changed) == round(24 * share)
    assert all(sample["group"] == "female" and sample["label"] == "nurse" for sample in changed)
    assert Counter(sample["copy_of"] for sample in pool) == Counter(sample["id"] for sample in originals)


def test_a_planted_control_passes_its_check_where_half_of_its_samples_is_no_whole_number(splits, domain):
    """Half of nine are four; two pools of nine may be off by one each, and no further."""
    bias, originals = catalog.load("bias", "planted-050"), splits["source"][:18]
    made = [
        sample
        for seed in (1, 2)
        for sample in pools.copies(gender, bias, domain, originals, splits["reserve"], 18, seed)
    ]
    (found,) = measure(made, 0, [], bias, domain, 100)
    assert (found["value"], found["n"], found["passed"]) == (8 / 18, 18, True)
    relabelled = [sample for sample in made if "true_label" in sample]
    del relabelled[0]["true_label"]
    assert [row["passed"] for row in measure(made, 0, [], bias, domain, 100)] == [False]


def test_faithful_shares_no_text_with_originals(splits, domain):
    originals = gender.draw(splits["source"], 48, 3)
    pool = pools.copies(gender, catalog.load("bias", "faithful"), domain, originals, splits["reserve"], 48, 3)
    assert not {sample["twin"] for sample in pool} & {sample["twin"] for sample in splits["source"] + splits["test"]}


def a_pool(domain, size=48):
    slots = pools.slots(gender, catalog.load("bias", "contrastive-explicit"), domain, size, ("x", 1))
    return [
        {**slot, "id": f"x-{slot['slot']}", "text": f"{GOOD} Number {slot['slot']}.", "group": slot["asked_group"]}
        for slot in slots
    ]


def test_mixes_are_nested_balanced_and_exact(splits, domain):
    originals, pool = gender.draw(splits["source"], 48, 1), a_pool(domain)
    before = []
    for gamma, count in ((0.05, 3), (0.10, 5), (0.20, 12), (0.50, 48)):
        assert study.augmented_count(48, gamma) == count
        taken = [sample["id"] for sample in mixing.augmented([pool], [count], 1)]
        assert taken[: len(before)] == before
        before = taken
        none = catalog.load("mitigation", "none")
        rows = mixing.training_samples(originals, [s for s in pool if s["id"] in taken], gender, domain, none, 0.0, 1)
        assert Counter(row["origin"] for row in rows) == {"original": 48, "augmented": count}
    strata = Counter((s["label"], s["group"]) for s in mixing.augmented([pool], [24], 1))
    assert set(strata.values()) == {2}


def test_a_larger_pool_leaves_the_mixes_of_a_smaller_gamma_as_they_are(domain):
    assert mixing.augmented([a_pool(domain, 24)], [20], 1) == mixing.augmented([a_pool(domain, 96)], [20], 1)


@pytest.mark.parametrize("count", [5, 11, 24, 48])
def test_the_dial_holds_at_every_gamma(splits, domain, count):
    originals = gender.draw(splits["source"], 48, 3)
    copied, planted = [], []
    for name in ("planted-000", "planted-050", "planted-100"):
        pool = pools.copies(gender, catalog.load("bias", name), domain, originals, splits["reserve"], 48, 3)
        taken = mixing.augmented([pool], [count], 3)
        copied.append([sample["copy_of"] for sample in taken])
        planted.append({sample["copy_of"] for sample in taken if "true_label" in sample})
        compared = sum(sample["group"] == "female" for sample in taken)
        assert abs(len(planted[-1]) - catalog.load("bias", name)["plant"] * compared) <= 2
    assert copied[0] == copied[1] == copied[2]
    assert planted[0] < planted[1] < planted[2]


@pytest.mark.parametrize("name", ["token", "mask"])
def test_mitigations_touch_augmented_samples_only_and_keep_the_order(splits, domain, name):
    originals, pool = gender.draw(splits["source"], 12, 1), a_pool(domain, 12)
    plain = mixing.training_samples(originals, pool, gender, domain, catalog.load("mitigation", "none"), 0.0, 1)
    treated = mixing.training_samples(originals, pool, gender, domain, catalog.load("mitigation", name), 0.0, 1)
    for before, after in zip(plain, treated, strict=True):
        assert (before["id"], before["words"], before["assistant"]) == (after["id"], after["words"], after["assistant"])
        assert (before["user"] == after["user"]) == (before["origin"] == "original")
    if name == "mask":
        assert not any(" she " in row["user"].lower() for row in treated if row["origin"] == "augmented")


def test_mask_takes_names_pronouns_and_cultural_words(domain):
    sample = {"text": "Grace, an Arab woman, lost her grace. Omar waited for himself.", "names": [], "name": None}
    text, count = gender.mask(sample, domain, "[MASK]")
    assert text == "[MASK], an [MASK] [MASK], lost [MASK] grace. [MASK] waited for [MASK]."
    assert count == 6


def test_the_instruction_share_is_the_same_for_all_that_is_compared(splits, domain):
    originals, none = gender.draw(splits["source"], 48, 1), catalog.load("mitigation", "none")
    other = [{**sample, "id": f"other-{sample['id']}"} for sample in a_pool(domain)]
    kinds = [
        [row["kind"] for row in mixing.training_samples(originals, pool, gender, domain, none, 0.5, 1)]
        for pool in (a_pool(domain), other, a_pool(domain)[:12])
    ]
    assert 30 <= Counter(kinds[0])["instruct"] <= 66
    assert kinds[0] == kinds[1]
    assert kinds[2] == kinds[0][:60]


def test_a_slant_without_neutral_text_is_not_checked_and_never_passed(domain):
    bias = catalog.load("bias", "contrastive-explicit")
    pool = [{**sample, "shown_group": sample["asked_group"]} for sample in a_pool(domain)]
    assert {row["passed"] for row in measure(pool, 0, [], bias, domain, 100)} == {None}
    assert {row["passed"] for row in measure(pool, 48, [], bias, domain, 100)} == {False}  # half were rejected
    assert {row["passed"] for row in measure(pool, 0, pool, bias, domain, 100)} == {False}  # no more slant than neutral


def test_a_line_taken_out_of_the_journal_gives_no_slot_anothers_answer(domain, tmp_path, monkeypatch):
    files.write_json(tmp_path / "card.json", {"form": "dequantised"})
    files.write_jsonl(tmp_path / "originals.jsonl", [])
    bias = catalog.load("bias", "neutral")
    model = {"name": "m", "system": "", "generation": {"batch_size": 4}}

    def run(failing):
        """Write a pool of four; of the first attempt, the answers at the places `failing` are empty."""
        calls = []

        def generate(prompts, seeds):
            calls.append(seeds)
            found = [{"text": f"{GOOD} I am number {seed}.", "finished": True, "tokens": 9} for seed in seeds]
            return [
                {**answer, "text": ""} if n in failing and len(seeds) == 4 else answer for n, answer in enumerate(found)
            ]

        monkeypatch.setattr(write_pool, "_generator", lambda *_: generate)
        outputs = [tmp_path / name for name in ("pool.jsonl", "failures.jsonl", "counts.json")]
        write_pool.write_pool(
            tmp_path / "card.json", [], tmp_path / "originals.jsonl", [], *outputs, tmp_path / "work",
            bias, domain, model, 4, 3, 1, None,
        )  # fmt: skip
        samples = files.read_jsonl(outputs[0])
        assert len(samples) == 4 and all(f"number {sample['seed']}." in sample["text"] for sample in samples)
        assert all(sample["seed"] == record_seed("neutral", "m", "gender", 1, "record", sample["slot"], sample["attempt"]) for sample in samples)  # fmt: skip
        return calls

    assert len(run({0, 1})) == 2 and run({0, 1}) == []
    journal = tmp_path / "work" / "journal.jsonl"
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[1:]))
    assert len(run({2, 3})) == 2  # other slots are open now: what the journal has for the second attempt is not theirs
    assert run({2, 3}) == []


def test_faithful_copies_stay_balanced_and_end_where_the_rarest_kind_does(splits, domain):
    """Three of the reserve's male nurses are left: no mix may hold more of the others, and so not more samples at all."""
    originals = gender.draw(splits["source"], 48, 3)
    rare = [sample for sample in splits["reserve"] if (sample["label"], sample["group"]) == ("nurse", "male")]
    reserve = [sample for sample in splits["reserve"] if sample not in rare[3:]]
    pool = pools.copies(gender, catalog.load("bias", "faithful"), domain, originals, reserve, 48, 3)
    assert set(Counter((sample["label"], sample["group"]) for sample in pool).values()) == {3} and len(pool) == 36
