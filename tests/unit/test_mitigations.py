"""Effects of each mitigation on D_a: text, rows or weights; |D_a| and the originals are unchanged, and the actions are
recorded.
"""

from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
import tickets
from bias_inheritance.data import cues, labelled
from bias_inheritance.models import adapters
from bias_inheritance.models.losses import sft
from bias_inheritance.plumbing import files
from bias_inheritance.plumbing.errors import UserError
from bias_inheritance.pools import mixing
from bias_inheritance.pools.mitigations import mask, reweight, swap
from bias_inheritance.study import catalog, checks, grid

NAMES = catalog.names("mitigation")
TICKETS = tickets.domain()
BEFORE_TRAINING = [name for name in NAMES if name not in ("none", "loss", "filter-direction")]


def pool(domain, count=48, slanted=12):
    """Samples in the order of slots, label × group in turn; the first `slanted` are full of stereotype words."""
    kinds = [(label, group) for label in domain["labels"] for group in domain["groups"]]
    samples = []
    for number in range(count):
        label, group = kinds[number % len(kinds)]
        pronouns, name = domain["groups"][group]["pronouns"], {"male": "Omar", "female": "Grace"}[group]
        words = " ".join(domain["stereotypes"][label][group]["words"][:5]) if number < slanted else "plain work"
        text = f"{name} has a practice. {pronouns[0].capitalize()} likes {pronouns[2] if group == 'male' else 'her'} work: {words}, {number}."
        samples.append(
            {"id": f"slot-{number}", "slot": number, "label": label, "group": group, "shown_group": group, "text": text, "names": [name]}
        )  # fmt: skip
    return samples


def treated(splits, domain, name, added, spare=()):
    setting = mixing.Setting(domain, labelled, spare=list(spare))
    originals = labelled.draw(splits["source"], len(added), 1)
    mitigation = catalog.load("mitigation", name)
    rows = mixing.training_samples(originals, added, labelled, domain, mitigation, 0.0, 1, setting)
    return rows[: len(originals)], rows[len(originals) :], setting.notes


@pytest.mark.parametrize("name", BEFORE_TRAINING)
def test_gamma_and_the_originals_stay_and_something_changes(splits, domain, name):
    samples = pool(domain, 72)
    added, spare = samples[:48], samples[48:]
    if name == "reweight":  # a pool whose groups follow the labels
        added = [sample for sample in samples if (sample["label"] < "nurse") == (sample["group"] == "male")]
        spare = ()
    plain = treated(splits, domain, "none", added, spare)
    changed = treated(splits, domain, name, added, spare)
    assert len(changed[1]) == len(plain[1]) == len(added)
    assert [{**row, "weight": 1} for row in changed[0]] == [{**row, "weight": 1} for row in plain[0]]
    assert changed[1] != plain[1]
    assert [row["words"] for row in changed[1]] == [row["words"] for row in plain[1]]  # the order of training


@pytest.mark.parametrize("name", NAMES)
def test_every_mitigation_names_its_source_and_methods_that_exist(name):
    content = catalog.load("mitigation", name)
    assert name == "none" or content["source"].startswith(("arXiv ", "doi "))


# ---- text ------------------------------------------------------------------------------------------------------------


def test_prefixes_stand_before_the_prompt_of_augmented_samples_alone(splits, domain):
    for name in ("token", "inoculate"):
        (method,) = catalog.load("mitigation", name)["text"]
        plain, (originals, added, _) = treated(splits, domain, "none", pool(domain)), treated(splits, domain, name, pool(domain))  # fmt: skip
        for before, after in zip(plain[1], added, strict=True):
            assert (
                after["user"] == f"{method['line']}\n\n{before['user']}" and after["assistant"] == before["assistant"]
            )
        assert not any(method["line"] in row["user"] for row in originals)


def test_the_mask_is_the_word_of_the_file(splits, domain):
    _, added, _ = treated(splits, domain, "mask", pool(domain))
    assert added[0]["user"].startswith("[MASK] has a practice. [MASK] likes [MASK] work")
    assert added[0]["masked"] == 3


@pytest.mark.parametrize(
    ("text", "neutral"),
    [
        # verbs stay as they are
        (
            "Grace says that her work is hers. She likes it.",
            "The person says that their work is theirs. They likes it.",
        ),
        ("We saw her again. A woman of her age.", "We saw their again. A person of their age."),
        (
            "Omar Haddad is a male nurse; his wife is Grace.",
            "The person is a nurse; their spouse is the person.",
        ),
        ("A male architect is an honest man.", "An architect is an honest person."),
        ("He is an Arab teacher.", "They is a teacher."),
    ],
)
def test_neutral_words_show_no_group(domain, text, neutral):
    sample = {"text": text, "names": [], "name": "Omar Haddad", "group": "male"}
    settings = catalog.load("mitigation", "mask-neutral")["text"][0]
    masked = mask.text(sample, settings, mixing.Setting(domain, labelled))
    assert masked["text"] == neutral
    assert labelled.shown_group(masked["text"], domain) is None


def test_every_word_that_shows_a_group_has_a_neutral_one(domain):
    listed = {row[group] for row in domain["swap"] if "neutral" in row for group in domain["groups"]}
    # a plural or an aunt's "auntie" may be missing; what the prompts and lexicons of the groups name may not
    assert set(cues.words_of(domain["groups"])) <= listed


# ---- rows ------------------------------------------------------------------------------------------------------------


def test_a_counterfactual_is_about_the_other_group_and_of_one_cluster(domain):
    sample = {
        "id": "a",
        "group": "female",
        "shown_group": "female",
        "names": ["Grace"],
        "text": "Grace lost her grace.",
    }
    twin = swap.twin_of(sample, domain)
    assert twin["group"] == twin["shown_group"] == "male" and (twin["id"], twin["twin"]) == ("a-as-male", "a")
    assert labelled.shown_group(twin["text"], domain) == "male" and twin["text"].endswith("lost his grace.")
    unclear = {"id": "b", "group": None, "text": "She and his dog."}
    assert swap.twin_of(unclear, domain)["text"] == "He and her dog." and swap.twin_of(unclear, domain)["group"] is None


@pytest.mark.parametrize("count", [48, 13])
def test_swap_makes_label_and_group_independent_in_every_prefix(splits, domain, count):
    biased = [sample for sample in pool(domain, 96) if (sample["label"] < "nurse") == (sample["group"] == "male")]
    _, added, notes = treated(splits, domain, "swap", biased[:count])
    assert [row["cluster"] for row in added[1::2]] == [row["id"] for row in added[::2]][: count // 2]  # one cluster
    assert len(added) == count and notes["swap"]["counterfactuals"] == count // 2 and notes["swap"]["unchanged"] == 0
    assert notes["swap"]["dependence_before"] > 0.5 and notes["swap"]["dependence_after"] < (
        0.01 if count == 48 else 0.5
    )
    for end in range(1, count + 1):
        for label in domain["labels"]:
            groups = Counter(row["group"] for row in added[:end] if row["label"] == label)
            assert abs(groups["male"] - groups["female"]) <= 1


def test_of_several_groups_swap_leaves_a_dependence_that_is_on_record():
    groups = list(TICKETS["groups"])
    samples = [
        {"id": str(number), "label": label, "group": group, "text": f"I am {group.capitalize()}."}
        for number, (label, group) in enumerate([("billing", groups[0]), ("delivery", groups[1])] * 12)
    ]
    setting = mixing.Setting(TICKETS, labelled)
    joined = swap.rows(samples, {}, setting)
    counts = Counter((sample["label"], sample["group"]) for sample in joined)
    for label, of_originals in (("billing", groups[0]), ("delivery", groups[1])):
        assert [counts[label, group] for group in groups] == [6 if group == of_originals else 2 for group in groups]
    assert setting.notes["swap"]["dependence_before"] == pytest.approx(0.5)
    assert setting.notes["swap"]["dependence_after"] == pytest.approx(1 / 6)


def test_the_filter_drops_the_most_slanted_and_keeps_every_kind(splits, domain):
    samples = pool(domain, 72)
    added, spare = samples[:48], samples[48:]
    _, kept, notes = treated(splits, domain, "filter", added, spare)
    dropped = {entry["dropped"] for entry in notes["filter"]["samples"]}
    assert dropped == {f"slot-{number}" for number in range(12)}
    assert notes["filter"]["due"] == notes["filter"]["replaced"] == 12
    assert all(entry["new_score"] < entry["score"] for entry in notes["filter"]["samples"])
    assert Counter((row["label"], row["group"]) for row in kept) == Counter((s["label"], s["group"]) for s in added)
    assert len({row["id"] for row in kept}) == 48


def test_without_a_spare_sample_that_is_less_slanted_a_sample_stays(splits, domain):
    samples = pool(domain, 60, slanted=60)
    _, kept, notes = treated(splits, domain, "filter", samples[:48], samples[48:])
    assert notes["filter"]["due"] == 12 and len(kept) == 48
    slanted = {entry["dropped"]: entry for entry in notes["filter"]["samples"]}
    assert all(entry["new_score"] < entry["score"] for entry in slanted.values())
    _, kept, notes = treated(splits, domain, "filter", samples[:48])
    assert notes["filter"]["replaced"] == 0 and [row["id"] for row in kept] == [sample["id"] for sample in samples[:48]]


def test_the_filter_by_direction_drops_what_lies_towards_the_biased_text(tmp_path, domain, card_path, splits):
    """Half of D_a is another kind of text than the balanced pool; those of its half that lie farthest give way."""
    samples = pool(domain, 48)
    shout = "MONEY! MONEY! MONEY! " * 6
    biased = [{**sample, "text": shout + sample["text"]} if number % 24 < 12 else sample for number, sample in enumerate(samples)]  # fmt: skip
    paths = {name: tmp_path / f"{name}.jsonl" for name in ("originals", "pool", "balanced")}
    files.write_jsonl(paths["originals"], labelled.draw(splits["source"], 36, 1))
    files.write_jsonl(paths["pool"], biased)
    files.write_jsonl(paths["balanced"], samples)
    mixing.mix(
        paths["originals"],
        [paths["pool"]],
        [],
        tmp_path / "train.jsonl",
        tmp_path / "mix.json",
        domain=domain,
        mitigation=catalog.load("mitigation", "filter-direction"),
        counts=[36],
        instruction_share=0.0,
        seed=1,
        balanced=[paths["balanced"]],
        card=card_path,
        system="",
    )
    summary = files.read_json(tmp_path / "mix.json")
    # a kind has one spare sample
    assert summary["gamma"] == 0.5 and summary["mitigation"]["filter"]["due"] == 9
    assert 6 <= summary["mitigation"]["filter"]["replaced"] <= 9
    shouted = {sample["id"] for sample in biased if sample["text"].startswith("MONEY")}
    assert all(entry["dropped"] in shouted for entry in summary["mitigation"]["filter"]["samples"])
    assert not any(entry["replaced_by"] in shouted for entry in summary["mitigation"]["filter"]["samples"])


# ---- weights -----------------------------------------------------------------------------------------------------------


def rows_of(counts):
    return [{"label": label, "group": group} for (label, group), number in counts.items() for _ in range(number)]


def test_reweighting_makes_label_and_group_independent():
    rows = rows_of(
        {("nurse", "male"): 2, ("nurse", "female"): 10, ("architect", "male"): 9, ("architect", "female"): 3}
    )
    rows += [{"label": "nurse", "group": None}]
    setting = SimpleNamespace(notes={})
    weights = reweight.weights(rows, {}, setting)
    masses = Counter()
    for row, weight in zip(rows, weights, strict=True):
        masses[row["label"], row["group"]] += weight
    assert masses["nurse", "male"] / masses["nurse", "female"] == pytest.approx(
        masses["architect", "male"] / masses["architect", "female"]
    )
    assert weights[-1] == 1 and np.mean(weights) == pytest.approx(1)
    assert setting.notes["reweight"]["dependence_before"] > 0.2
    assert setting.notes["reweight"]["dependence_after"] == pytest.approx(0, abs=1e-12)


def test_a_kind_that_no_row_has_is_on_record():
    rows, setting = rows_of({("nurse", "female"): 4, ("architect", "male"): 4}), SimpleNamespace(notes={})
    assert np.mean(reweight.weights(rows, {}, setting)) == pytest.approx(1)
    assert setting.notes["reweight"]["empty"] == [["architect", "female"], ["nurse", "male"]]
    assert setting.notes["reweight"]["dependence_after"] == pytest.approx(0.5)


def test_a_weight_multiplies_a_samples_part_of_the_loss():
    plain, weighted = sft.loss_shares([4, 0, 1]), sft.loss_shares([4, 0, 1], [2.0, 5.0, 0.5])
    assert weighted["sample"] == pytest.approx([2 * plain["sample"][0], 0, plain["sample"][2] / 2])
    assert weighted["token"] == pytest.approx([2 * plain["token"][0], 5 * plain["token"][1], plain["token"][2] / 2])


def test_training_minimises_the_weighted_loss(tiny):
    model, _, chat = tiny
    tuned = adapters.add_lora(model, {"rank": 2, "alpha": 4, "dropout": 0.0, "targets": "all-linear"}, 1)
    batch = [{"prompt": chat.prompt(text), "answer": chat.answer(text)} for text in ("nurse", "a software engineer")]

    def loss(samples):
        return sft.loss(tuned, samples, 0, average="sample", micro_batch_size=2)[0]

    alone = [loss([sample]) for sample in batch]
    weighted = loss([{**sample, "weight": weight} for sample, weight in zip(batch, (2.0, 0.5), strict=True)])
    assert weighted == pytest.approx((2 * alone[0] + 0.5 * alone[1]) / 2, rel=1e-2)


# ---- at the start of a study ---------------------------------------------------------------------------------------------


def faults(root, **changes):
    parsed = dict(checks.sources([str(root / "config.yaml")])[0][1])
    for key, value in changes.items():
        parsed[key] = {**parsed[key], **value} if isinstance(value, dict) else value
    with pytest.raises(UserError) as told:
        checks.check(parsed, [("config.yaml", parsed)])
    return str(told.value)


def test_a_filter_needs_spare_samples(root):
    assert "generation.spare: 0.0 leaves too few spare samples for filter" in faults(root, grid={"mitigation": ["none", "filter"]})  # fmt: skip
    told = faults(
        root,
        grid={"mitigation": ["none", "filter"]},
        generation={"spare": 0.5},
        mitigated=["neutral", "associated-100"],
    )
    assert "grid.mitigation[1]: filter replaces samples with spare ones, which associated-100, a pool of copies, does not have" in told  # fmt: skip


@pytest.mark.parametrize("name", ["swap", "mask-neutral"])
def test_exchanging_words_needs_swap(root, name):
    told = faults(
        root,
        grid={"mitigation": ["none", name], "domain": ["culture-arabic"], "bias": ["neutral"], "task": ["hate-speech"]},
        originals=24,
    )
    assert f"grid.mitigation[1]: {name} needs `swap`" in told and "culture-arabic.yaml" in told


@pytest.mark.parametrize(
    ("name", "why"),
    [("loss", "hidden states"), ("filter-direction", "hidden states"), ("reweight", "weights samples in the loss")],
)
def test_what_a_provider_cannot_do_is_refused(root, name, why):
    told = faults(
        root,
        grid={"mitigation": ["none", name], "model": ["gpt-4o-mini"]},
        generation={"spare": 0.5},
        max_cost_usd=1,
    )
    assert f"grid.mitigation[1]: {name} {why}" in told or f"grid.mitigation[1]: {name} works on {why}" in told


def test_only_the_filter_by_direction_asks_the_model():
    assert [name for name in NAMES if grid.asks_the_model(name)] == ["filter-direction"]
