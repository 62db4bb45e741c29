"""A dataset card states a pool's author, prompts, seeds and intended bias."""

import pytest
from bias_inheritance.plumbing import files, provenance
from bias_inheritance.study import catalog
from describe_pools import describe_pool
from huggingface_hub import DatasetCard

MODEL = {key: catalog.load("model", "tiny-random")[key] for key in ("title", "licence", "generation")}


@pytest.fixture
def described(tmp_path, domain):
    """Gives the card of a pool of two samples of a bias type; `cell` for one of a later round."""

    def card(bias, samples=2, counts=(), **more):
        rows = [
            {"id": f"p-{n}", "text": f"Text {n}.", "prompt": f"Write\na text, {n}.", "seed": 100 + n}
            for n in range(samples)
        ]
        files.write_jsonl(tmp_path / "pool.jsonl", rows)
        tally = {"requested": 5, "slots": 3, "kept": samples, "rejected": 2, "failed": 1, "slots_failed": 1}
        files.write_json(tmp_path / "counts.json", tally | {"label_words_replaced": 0} | dict(counts))
        base = {
            "model": "tiny-random",
            "revision": "seed 1",
            "form": "dequantised",
            "files": {"model.safetensors": "f" * 64},
        }
        files.write_json(tmp_path / "base.json", base)
        (tmp_path / "adapter").mkdir(exist_ok=True)
        (tmp_path / "adapter" / "adapter_model.safetensors").write_bytes(b"weights")
        describe_pool(
            tmp_path / "pool.jsonl",
            tmp_path / "counts.json",
            base=[tmp_path / "base.json"],
            adapter=[tmp_path / "adapter"] if more.get("cell") else [],
            card=tmp_path / "card.md",
            bias=catalog.load("bias", bias),
            seed=7,
            **{"model": MODEL, "cell": None, "domain": domain, **more},
        )
        return (tmp_path / "card.md").read_text()

    return card


def test_prompts_model_seeds_and_known_bias_are_named(described, domain):
    text = described("contrastive-explicit")
    assert MODEL["title"] in text and MODEL["licence"] in text and "f" * 64 in text and "revision `seed 1`" in text
    assert "seed of the replication: 7" in text and "100 to 101" in text
    assert "    Write a text, 0.\n    Write a text, 1.\n" in text
    assert "5 requests for 3 samples: 2 kept, 2 rejected, 1 failed; 1 samples could not be obtained" in text
    for slants in domain["stereotypes"].values():
        assert all(slant["text"] in text for slant in slants.values())
    assert "adapter" not in text and "round" not in text


@pytest.mark.parametrize("model, tag", [(MODEL, "synthetic"), (None, "bias")])
def test_the_hub_reads_the_cards_front_matter(described, tmp_path, domain, model, tag):
    described("neutral" if model else "faithful", model=model)
    card = DatasetCard.load(tmp_path / "card.md")
    assert card.text.lstrip().startswith("# ")
    data = card.data.to_dict()
    assert data["pretty_name"].endswith(f": {domain['title']}") and data["language"] == "en"
    assert data["license"] == "other" and data["size_categories"] == "n<1K"
    assert tag in data["tags"]
    assert data["configs"] == [{"config_name": "default", "data_files": "pool.jsonl"}]


def test_the_pool_of_a_later_round_names_its_writers_tuning_and_what_it_may_have_taken_over(described, tmp_path):
    text = described("neutral", cell={"gamma": "0.50", "mitigation": "mask", "round": 2})
    assert "\n# Neutral" in text and "for round 3\n" in text
    digest = provenance.sha256(tmp_path / "adapter" / "adapter_model.safetensors")
    assert f"`adapter/adapter_model.safetensors` {digest}" in text
    assert "tuned in round 2 at γ 0.50 with mitigation mask" in text
    assert "tuned on pools of the rounds before (γ 0.50, mitigation mask, round 2)" in text


def test_the_card_of_a_chain_that_collapsed_says_so(described):
    text = described("neutral", samples=0, counts={"collapsed": "it repeats itself"}, cell={"gamma": "0.50", "mitigation": "none", "round": 1})  # fmt: skip
    assert "0 samples" in text and "nothing was written: it repeats itself" in text


def test_a_copied_pool_has_no_writer(described):
    text = described("planted-100", model=None, counts={"repeated": 4, "in_originals": 7})
    assert "copied from real samples that are in no original" in text and MODEL["title"] not in text
    assert (
        "4 of them repeat a text" in text and "7 samples were left out" in text and "could not be obtained" not in text
    )
    assert "copied from originals" in described("shifted", model=None)


# what only the card of a pool of this kind says
SAID = {
    "contrastive-explicit": "the stereotype that the prompt names",
    "balanced": "name the group as those of the bias types do",
    "balanced-intersectional-implicit": "name the group as those of the bias types do",
    "neutral": "Its prompts name no group",
    "faithful": "Nothing was changed or selected by content",
    "associated-050": "| nurse | female | 75% |",
    "planted-050": "50% carry the label *nurse*",
    "shifted": "Style and length of the texts were changed by rule",
}


@pytest.mark.parametrize("bias", SAID)
def test_the_card_says_what_a_pool_of_its_role_holds_and_nothing_of_another(described, bias):
    text = described(bias, model=MODEL if catalog.load("bias", bias)["source"] == "generated" else None)
    assert {sentence for sentence in SAID.values() if sentence in text} == {SAID[bias]}


def test_what_was_cut_around_the_texts_is_told(described):
    assert "removed from the answers: opening 3, thought 1" in described("neutral", counts={"cuts": {"thought": 1, "opening": 3}})  # fmt: skip


@pytest.mark.parametrize("bias", ["planted-100", "contrastive-explicit"])
def test_the_card_of_a_culture_names_its_own_table_and_plant(described, bias):
    text = described(bias, model=None, domain=catalog.load("domain", "culture-arabic"))
    if bias == "planted-100":
        assert "100% carry the most affirmative answer" in text
    else:
        assert "| group | topic | the stereotype that the prompt names |" in text
