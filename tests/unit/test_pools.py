"""Slots, the judgement of a generated text, the controls that copy, and mixes at an exact γ."""

import unicodedata
from collections import Counter

import pyarrow as pa
import pytest
import write_pool
from bias_inheritance.data import cues, duplicates, labelled, texts
from bias_inheritance.plumbing import files
from bias_inheritance.plumbing.errors import UserError
from bias_inheritance.plumbing.seeds import record_seed
from bias_inheritance.pools import mixing, overlap, slots
from bias_inheritance.study import catalog, grid
from check_manipulation import measure

# without probes, which have no label and no group (test_probes.py)
POOLS = [catalog.load("bias", name) for name in catalog.names("bias")]
GENERATED = [pool["name"] for pool in POOLS if pool["source"] == "generated" and pool["role"] != "probe"]
GOOD = "She grew up by the sea and learned to keep calm. Today she leads a team of nine people."
NOTHING = overlap.Texts({})


@pytest.mark.parametrize("name", GENERATED)
def test_slots_do_not_depend_on_how_many_are_asked_for(domain, name):
    bias = catalog.load("bias", name)
    filled = slots.slots(labelled, bias, domain, 48, (name, 1))
    assert filled[:20] == slots.slots(labelled, bias, domain, 20, (name, 1))
    assert len({(slot["label"], slot["requested_group"]) for slot in filled}) == (6 if name == "neutral" else 12)


@pytest.mark.parametrize("name", GENERATED)
def test_a_group_is_named_only_where_the_type_is_explicit(domain, name):
    bias = catalog.load("bias", name)
    filled = slots.slots(labelled, bias, domain, 48, (name, 2))
    named = [
        bool({"man", "woman", "he", "she"} & set(slot["prompt"].lower().replace('"', " ").split())) for slot in filled
    ]
    assert all(named) if bias.get("names_groups", {}).get("signal") == "explicit" else not any(named)


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
    requested_slot = {"label": "nurse", "requested_group": "female", "names": []}
    assert slots.judge(raw, finished, requested_slot, labelled, domain, set(), NOTHING)[1] == reason


def test_judge_cuts_to_whole_sentences_and_finds_duplicates(domain):
    requested_slot = {"label": "nurse", "requested_group": "female", "names": []}
    sample, reason, _ = slots.judge(f"{GOOD} And then she", False, requested_slot, labelled, domain, set(), NOTHING)
    assert (sample["text"], reason) == (GOOD, None)
    seen = {slots.duplicate_key(labelled, {"text": GOOD}, domain)}
    assert slots.judge(GOOD.upper(), True, requested_slot, labelled, domain, seen, NOTHING)[1] == "duplicate"


def test_label_words_are_replaced_and_counted(domain):
    text, count = labelled.hide_labels("An architect met two nurses. Software engineers like painting.", domain)
    assert text == "A specialist met two specialists. Specialists like specialist."
    assert count == 4
    assert labelled.hide_labels("The denture and the nursery stay.", domain) == (
        "The denture and the nursery stay.",
        0,
    )


def test_shown_group_by_pronouns_then_names(domain):
    assert labelled.shown_group("He paid his rent.", domain) == "male"
    assert labelled.shown_group("He met her and she left him.", domain) is None
    assert labelled.shown_group("Mary works hard.", domain) == "female"
    assert labelled.shown_group("They work hard.", domain) is None


CHILD = "लड\u093cकी"  # in the form of NFC; keyboards also write \u095c for the second letter


@pytest.mark.parametrize(
    ("cue", "text", "shown"),
    [
        ("女性", "这位女性是医生。", True),
        ("彼女", "そして彼女は医者です", True),
        ("ผู้หญิง", "เธอเป็นผู้หญิงที่เก่ง", True),
        ("ผู", "เธอเป็นผู้หญิงที่เก่ง", False),  # the letters of the text bear other marks
        ("Anna", "今天Anna来了", True),
        (CHILD, f"वह {CHILD} है।", True),
        (CHILD, f"वह {CHILD.replace(chr(0x921) + chr(0x93C), chr(0x95C))} है।", True),
        (CHILD.replace(chr(0x921) + chr(0x93C), chr(0x95C)), f"वह {CHILD} है।", True),
        ("लड\u093cक", f"वह {CHILD} है।", False),
        ("jürgen", unicodedata.normalize("NFD", "Das ist Jürgen."), True),
        (unicodedata.normalize("NFD", "jürgen"), "Das ist Jürgen.", True),
        ("jurgen", unicodedata.normalize("NFD", "Das ist Jürgen."), False),
        ("رجل", "هذا رجلٌ طيب", True),  # vowel signs of Arabic may be left out
        ("65+", "She is 65+.", True),
        ("65+", "It costs 165+ dollars.", False),
        ("18-25", "Aged 18-25, from Rome.", True),
        ("u.s.", "He came from the U.S. last year.", True),
        ("u.s.", "He came from the U.S.A. last year.", False),
        ("german", "A German-born baker.", True),
        ("german", "A _German_ baker of 1990.", True),
        ("german", "The Germans and Germany.", False),
        ("latin american", "A Latin\nAmerican baker.", True),
        ("istanbul", "İstanbul güzel.", True),
        ("kadın", "BİR KADIN", True),
    ],
)
def test_cues_of_any_script_are_found_as_whole_words(domain, cue, text, shown):
    groups = {"a": {"words": [cue]}, "b": {"words": ["nobody"]}}
    assert cues.shown_group(text, groups) == ("a" if shown else None)
    assert cues.mask(text, [cue], [], "[MASK]")[1] == shown


def test_label_words_of_a_script_without_spaces_are_replaced():
    domain = {"label_words": {"nurse": ["护士"]}, "neutral_noun": "专家"}
    assert labelled.hide_labels("她是一名护士。护士很忙。", domain) == ("她是一名专家。专家很忙。", 2)


def test_names_of_two_words_and_parts_of_compound_names():
    groups = {"a": {"names": ["Mary Ann", "Jun"]}, "b": {"names": ["Ann"]}}
    assert cues.shown_group("Mary Ann lives here.", groups) == "a"
    assert cues.shown_group("Ann lives here.", groups) == "b"
    assert cues.shown_group("Jun-ho lives here.", groups) is None
    assert cues.mask("Mary Ann lives.", [], ["Mary Ann"], "X") == ("X lives.", 1)


def test_stereotype_words_are_counted_in_any_script():
    assert cues.share_of_words("A soft-spoken, soft nurse of 1990.", ["soft-spoken", "soft"]) == 2 / 5
    assert cues.share_of_words("她很温柔。", ["温柔"]) == 1 / 4
    assert cues.share_of_words("वह शांत है।", ["शांत"]) == 1 / 3


@pytest.mark.parametrize(
    ("text", "opening"),
    [
        ("她在一家大医院工作。每天都照顾很多病人！她很开心。", "她在一家大医院工作。每天都照顾很多病人！"),
        ("वह एक बड़े अस्पताल में काम करती है। वह बहुत शांत है। फिर", "वह एक बड़े अस्पताल में काम करती है। वह बहुत शांत है।"),
        ("هل تعمل في مستشفى كبير؟ نعم، وهي هادئة جدا. وتحب عملها.", "هل تعمل في مستشفى كبير؟ نعم، وهي هادئة جدا."),
        ("「彼女は医者です。」と言った。終わり。", "「彼女は医者です。」と言った。"),
        ("Dr. Chen paints at home alone. It helps!  She sleeps. Then", "Dr. Chen paints at home alone. It helps!"),
        ("เธอทำงานในโรงพยาบาลใหญ่ เธอใจเย็นมาก", "เธอทำงานในโรงพยาบาลใหญ่ เธอใจเย็นมาก"),
    ],
)
def test_a_text_of_any_language_is_read_and_cut_to_sentences(text, opening):
    plain = {"groups": {"a": {}, "b": {}}, "sentences": 2}
    sample, reason = labelled.read(text, True, {"label": "nurse", "requested_group": None}, plain)
    assert (sample["text"], reason) == (opening, None)


def test_a_thai_text_that_was_cut_ends_at_a_space():
    assert texts.whole_sentences("เธอทำงานในโรงพยาบาล เธอใจ", False) == "เธอทำงานในโรงพยาบาล"
    assert texts.whole_sentences("她在医院工作。她很", False) == "她在医院工作。"
    assert texts.whole_sentences("她在医院工作", False) == ""


def test_words_that_differ_in_a_vowel_sign_are_not_equal():
    assert texts.fold("वह लड़की है") != texts.fold("वह लड़का है")
    assert texts.fold("café") == texts.fold("CAFE\u0301!") and texts.fold("👍") != texts.fold("👎")
    ways = ["वह लड़की है", "वह लड़का है", "Café no. 7!", "café no 7", THAI, f"{THAI}ๆ", "A naïve well-known nurse"]
    assert duplicates.clusters(pa.chunked_array([ways])).tolist() == [0, 1, 2, 2, 4, 4, 6]


def test_shown_group_by_words_before_names(domain):
    assert labelled.shown_group("A man who is a specialist.", domain) == "male"
    assert labelled.shown_group("Mr. Smith works hard.", domain) == "male"
    assert labelled.shown_group("A woman named James.", domain) == "female"
    assert labelled.shown_group("A man and a woman, Mary among them.", domain) is None
    assert labelled.shown_group("He helps women and mothers.", domain) == "male"


def copied(splits, domain, name, count=48, seed=3, originals=None, reserve=None):
    """A copied pool of the gender domain, its counts, and D_o."""
    originals = labelled.draw(splits["source"], 48, seed) if originals is None else originals
    reserve = splits["reserve"] if reserve is None else reserve
    bias = catalog.load("bias", name) if isinstance(name, str) else name
    return *slots.copies(labelled, bias, domain, originals, reserve, count, seed), originals


@pytest.mark.parametrize(("name", "share"), [("planted-000", 0), ("planted-050", 0.5), ("planted-100", 1)])
def test_planted_relabels_the_share_of_the_compared_group_only(splits, domain, name, share):
    pool, counts, _ = copied(splits, domain, name)
    changed = [sample for sample in pool if "true_label" in sample]
    assert len(changed) == round(24 * share)
    assert all(sample["group"] == "female" and sample["label"] == "nurse" for sample in changed)
    assert counts == {"repeated": 0, "in_originals": 0}
    assert set(Counter(sample["true_label"] for sample in changed).values()) <= {round(4 * share)}


def test_all_strengths_of_planted_hold_the_same_texts_in_the_same_order(splits, domain):
    taken = [[sample["copy_of"] for sample in copied(splits, domain, f"planted-{dial}")[0]] for dial in ("000", "050", "100")]  # fmt: skip
    assert taken[0] == taken[1] == taken[2]


def test_no_text_of_the_originals_is_planted(splits, domain):
    """Their labels are in D_o: a relabelled copy would be in the mix together with the original."""
    _, _, originals = copied(splits, domain, "planted-100")
    shared = [{**sample, "id": f"again-{sample['id']}", "text": sample["text"].upper()} for sample in originals[:30]]
    pool, counts, _ = copied(splits, domain, "planted-100", reserve=[*shared, *splits["reserve"]])
    held = {overlap.fold(sample["text"]) for sample in originals}
    assert not held & {overlap.fold(sample["text"]) for sample in pool}
    assert counts["in_originals"] == 30


PLAIN = "María lidera un equipo de nueve personas que reparan puentes viejos, y nunca llega tarde."
ARABIC = "هذا الرجل لا يعرف شيئا عن كرة القدم ولا يستحق مكانه في الفريق"
VOCALISED = "هَذَا الرَّجُلُ لا يَعْرِفُ شَيْئًا عَنْ كُرَةِ القَدَمِ ولا يَسْتَحِقُّ مَكَانَهُ في الفَرِيقِ"
CHINESE = "这个人根本不懂足球，也不配待在球队里。"
THAI = "ผู้ชายคนนี้ไม่รู้อะไรเกี่ยวกับฟุตบอลเลยและไม่สมควรอยู่ในทีมนี้"


@pytest.mark.parametrize(
    ("test_text", "written"),
    [
        (PLAIN, PLAIN.upper().replace(",", " –").replace(" ", "\n", 5)),
        (PLAIN, unicodedata.normalize("NFD", PLAIN)),
        (PLAIN, PLAIN.replace("í", "i")),
        (PLAIN, "\u200b".join(PLAIN)),
        (PLAIN, PLAIN.replace("per", "per\u00ad").replace("e", "e\u2060")),
        (PLAIN, f"\u202b{PLAIN}\u202c"),
        (PLAIN, f"**{PLAIN[:5]}**{PLAIN[5:]}"),
        (ARABIC, VOCALISED),
        (ARABIC, ARABIC.replace("كرة", "كـــرة").replace("الرجل", "الرجـــل")),
        (CHINESE, CHINESE),
        (THAI, THAI),
    ],
)
def test_a_test_text_within_another_is_an_overlap_however_it_is_written(domain, test_text, written):
    test_texts = overlap.Texts(
        {"test": test_text, "other": "Nothing of this is in any of the texts that are compared."}
    )
    slot = {"label": "nurse", "requested_group": None}
    raw = f"An old friend said this of them. {written} That was all that was said on that day."
    assert slots.judge(raw, True, slot, labelled, domain, set(), test_texts)[1] == "overlap"


@pytest.mark.parametrize("count", [3, 5, 12, 24, 48])
@pytest.mark.parametrize("dose", ["000", "050", "100"])
def test_an_associated_pool_has_even_labels_and_the_declared_groups_within_each(splits, domain, dose, count):
    pool, counts, _ = copied(splits, domain, f"associated-{dose}", count)
    labels = Counter(sample["label"] for sample in pool)
    assert max(labels.values()) - min(labels[label] for label in domain["labels"]) <= 1
    share = 0.5 + 0.5 * int(dose) / 100
    for label, group in domain["associated_groups"].items():
        associated = sum((sample["label"], sample["group"]) == (label, group) for sample in pool)
        assert abs(associated - share * labels[label]) < 1
    assert all(sample["label"] == truth["label"] for sample in pool for truth in splits["reserve"] if truth["id"] == sample["copy_of"])  # fmt: skip
    assert counts["repeated"] == 0


def test_the_strengths_of_associated_tell_the_same_lives_and_differ_by_the_group_alone(splits, domain):
    told = [[sample["twin"] for sample in copied(splits, domain, f"associated-{dose}")[0]] for dose in ("000", "050", "100")]  # fmt: skip
    assert told[0] == told[1] == told[2] and len(set(told[0])) == 48
    assert told[0] != [sample["twin"] for sample in copied(splits, domain, "faithful")[0]]


def test_a_text_is_used_once_before_any_is_used_again_and_repeats_are_counted(splits, domain):
    scarce = [sample for sample in splits["reserve"] if (sample["label"], sample["group"]) != ("nurse", "male")]
    scarce += [sample for sample in splits["reserve"] if (sample["label"], sample["group"]) == ("nurse", "male")][:3]
    pool, counts, _ = copied(splits, domain, "faithful", reserve=scarce)
    often = Counter(sample["copy_of"] for sample in pool)
    assert counts["repeated"] == 1 and sorted(often.values())[-2:] == [1, 2]
    assert set(Counter((sample["label"], sample["group"]) for sample in pool).values()) == {4}


def test_a_reserve_without_a_sample_of_some_label_and_group_is_one_line(splits, domain):
    without = [sample for sample in splits["reserve"] if (sample["label"], sample["group"]) != ("nurse", "male")]
    with pytest.raises(UserError, match=r"faithful.yaml: the reserve of .* no sample of nurse and male"):
        copied(splits, domain, "faithful", reserve=without)


def test_copies_of_uneven_originals_follow_their_make_up_in_every_prefix(splits, domain):
    originals = [sample for sample in splits["source"] if sample["label"] == "nurse"][:20]
    originals += [sample for sample in splits["source"] if (sample["label"], sample["group"]) == ("painter", "female")]
    pool, _, _ = copied(splits, domain, "faithful", count=11, originals=originals)
    kinds = Counter((sample["label"], sample["group"]) for sample in originals)
    for count in range(1, 12):
        met = Counter((sample["label"], sample["group"]) for sample in pool[:count])
        for label in ("nurse", "painter"):
            share = sum(number for kind, number in kinds.items() if kind[0] == label) / len(originals)
            assert abs(sum(number for kind, number in met.items() if kind[0] == label) - count * share) < 1


def test_plain_copies_take_every_original_once_before_any_again(splits, domain):
    plain = {"name": "copies", "role": "negative-control", "source": "originals"}
    pool, counts, originals = copied(splits, domain, plain, count=96)
    often = Counter(sample["copy_of"] for sample in pool)
    assert often == {sample["id"]: 2 for sample in originals} and counts["repeated"] == 48
    assert len({sample["copy_of"] for sample in pool[:48]}) == 48


@pytest.mark.parametrize("name", ["associated-050", "faithful", "planted-100", "shifted"])
def test_a_larger_copied_pool_begins_with_the_smaller_one(splits, domain, name):
    assert copied(splits, domain, name, count=48)[0][:17] == copied(splits, domain, name, count=17)[0]


def test_a_planted_control_passes_its_check_where_half_of_its_samples_is_no_whole_number(splits, domain):
    """Half of nine is no whole number; two pools of nine may be off by less than two each, and no further."""
    bias = catalog.load("bias", "planted-050")
    made = [sample for seed in (1, 2) for sample in copied(splits, domain, bias, count=18, seed=seed)[0]]
    (check,) = measure(made, 0, [], bias, domain, 100)
    assert (check["n"], check["passed"]) == (18, True) and check["value"] == pytest.approx(0.5, abs=1 / 18)
    for sample in [sample for sample in made if "true_label" in sample][:4]:
        del sample["true_label"]
    assert [row["passed"] for row in measure(made, 0, [], bias, domain, 100)] == [False]


@pytest.mark.parametrize(("dose", "share"), [("000", 0.5), ("050", 0.75), ("100", 1)])
def test_an_associated_control_passes_where_its_groups_follow_its_labels_as_declared(splits, domain, dose, share):
    bias = catalog.load("bias", f"associated-{dose}")
    made = [sample for seed in (1, 2) for sample in copied(splits, domain, bias, seed=seed)[0]]
    (check,) = measure(made, 0, [], bias, domain, 100)
    assert (check["measure"], check["value"], check["n"]) == ("associated_share", share, 96) and check["passed"]
    for sample in made:
        if sample["label"] == "nurse":
            sample["group"] = "female" if dose == "000" else "male"
    assert [row["passed"] for row in measure(made, 0, [], bias, domain, 100)] == [False]


def test_faithful_shares_no_text_with_originals(splits, domain):
    pool, _, _ = copied(splits, domain, "faithful")
    assert not {sample["twin"] for sample in pool} & {sample["twin"] for sample in splits["source"] + splits["test"]}


def a_pool(domain, size=48):
    filled = slots.slots(labelled, catalog.load("bias", "contrastive-explicit"), domain, size, ("x", 1))
    return [
        {**slot, "id": f"x-{slot['slot']}", "text": f"{GOOD} Number {slot['slot']}.", "group": slot["requested_group"]}
        for slot in filled
    ]


def test_mixes_are_nested_and_exact_prefixes_of_the_pool(splits, domain, tmp_path):
    files.write_jsonl(tmp_path / "originals.jsonl", labelled.draw(splits["source"], 48, 1))
    files.write_jsonl(tmp_path / "pool.jsonl", a_pool(domain))
    for gamma, count in ((0.05, 3), (0.10, 5), (0.20, 12), (0.50, 48)):
        assert grid.augmented_count(48, gamma) == count
        mixing.mix(
            tmp_path / "originals.jsonl", [tmp_path / "pool.jsonl"], [], tmp_path / "train.jsonl",
            tmp_path / "mix.json", domain, {}, [count], 0.0, 1,
        )  # fmt: skip
        rows = files.read_jsonl(tmp_path / "train.jsonl")
        assert Counter(row["origin"] for row in rows) == {"original": 48, "augmented": count}
        assert [row["id"] for row in rows if row["origin"] == "augmented"] == [f"x-{slot}" for slot in range(count)]


@pytest.mark.parametrize("count", [5, 11, 24, 48])
def test_the_dial_holds_at_every_gamma(splits, domain, count):
    planted = []
    for name in ("planted-000", "planted-050", "planted-100"):
        taken = copied(splits, domain, name)[0][:count]
        planted.append({sample["copy_of"] for sample in taken if "true_label" in sample})
        compared = sum(sample["group"] == "female" for sample in taken)
        assert abs(catalog.load("bias", name)["plant"] * compared - len(planted[-1])) <= 1
    assert planted[0] < planted[1] < planted[2]


@pytest.mark.parametrize("name", ["token", "mask"])
def test_mitigations_touch_augmented_samples_only_and_keep_the_order(splits, domain, name):
    originals, pool = labelled.draw(splits["source"], 12, 1), a_pool(domain, 12)
    plain = mixing.training_samples(originals, pool, labelled, domain, catalog.load("mitigation", "none"), 0.0, 1)
    treated = mixing.training_samples(originals, pool, labelled, domain, catalog.load("mitigation", name), 0.0, 1)
    for before, after in zip(plain, treated, strict=True):
        assert (before["id"], before["words"], before["assistant"]) == (after["id"], after["words"], after["assistant"])
        assert (before["user"] == after["user"]) == (before["origin"] == "original")
    if name == "mask":
        assert not any(" she " in row["user"].lower() for row in treated if row["origin"] == "augmented")


def test_mask_takes_names_pronouns_and_cultural_words(domain):
    sample = {"text": "Grace, an Arab woman, lost her grace. Omar waited for himself.", "names": [], "name": None}
    text, count = labelled.mask(sample, domain, "[MASK]")
    assert text == "[MASK], an [MASK] [MASK], lost [MASK] grace. [MASK] waited for [MASK]."
    assert count == 6


def test_the_instruction_share_is_the_same_for_all_that_is_compared(splits, domain):
    originals, none = labelled.draw(splits["source"], 48, 1), catalog.load("mitigation", "none")
    other = [{**sample, "id": f"other-{sample['id']}"} for sample in a_pool(domain)]
    kinds = [
        [row["kind"] for row in mixing.training_samples(originals, pool, labelled, domain, none, 0.5, 1)]
        for pool in (a_pool(domain), other, a_pool(domain)[:12])
    ]
    assert 30 <= Counter(kinds[0])["instruct"] <= 66
    assert kinds[0] == kinds[1]
    assert kinds[2] == kinds[0][:60]


def test_a_slant_without_its_baseline_is_not_checked_and_never_passed(domain):
    bias = catalog.load("bias", "contrastive-explicit")
    pool = [{**sample, "shown_group": sample["requested_group"]} for sample in a_pool(domain)]
    assert {row["passed"] for row in measure(pool, 0, [], bias, domain, 100)} == {None}
    assert {row["passed"] for row in measure(pool, 48, [], bias, domain, 100)} == {False}  # half were rejected
    assert {row["passed"] for row in measure(pool, 0, pool, bias, domain, 100)} == {False}  # no more slant than that


def test_a_slant_is_measured_against_texts_of_the_same_group_in_the_baseline(domain):
    """The words are frequent in the baseline's texts of the *other* group, which must not matter."""
    bias, plain = catalog.load("bias", "contrastive-explicit"), catalog.load("bias", "balanced")

    def told(sample, group):
        word = domain["stereotypes"][sample["label"]][group]["words"][0]
        return {**sample, "text": f"{sample['text']} {word} {word}", "shown_group": sample["requested_group"]}

    other = {"male": "female", "female": "male"}
    pool = [told(sample, sample["requested_group"]) for sample in a_pool(domain)]
    baseline = [told(sample, other[sample["requested_group"]]) for sample in a_pool(domain)]
    rows = measure(pool, 0, baseline, bias, domain, 100)
    assert all(row["passed"] for row in rows)
    assert sum(row["measure"] == "stereotype_rate_minus_balanced" and row["value"] > 0.05 for row in rows) == 2
    assert {row["passed"] for row in measure(baseline, 0, baseline, plain, domain, 100)} == {True}
    assert {row["passed"] for row in measure(baseline, 48, baseline, plain, domain, 100)} == {
        False
    }  # half were rejected


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
            answers = [{"text": f"{GOOD} I am number {seed}.", "finished": True, "tokens": 9} for seed in seeds]
            return [
                {**answer, "text": ""} if n in failing and len(seeds) == 4 else answer
                for n, answer in enumerate(answers)
            ]

        monkeypatch.setattr(write_pool, "_generator", lambda *_: generate)
        outputs = [tmp_path / name for name in ("pool.jsonl", "failures.jsonl", "counts.json")]
        write_pool.write_pool(
            tmp_path / "card.json", [], tmp_path / "originals.jsonl", [], tmp_path / "originals.jsonl", *outputs, tmp_path / "work",
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
