"""Studies of served models: refusals before anything runs, cells, and costs."""

import copy
import re

import pytest
import yaml
from bias_inheritance.data import labelled
from bias_inheritance.plumbing import files
from bias_inheritance.plumbing.errors import UserError
from bias_inheritance.plumbing.provenance import ROOT
from bias_inheritance.study import catalog, checks, costs, grid


def config(**changes):
    """config.yaml overlaid with studies/gpt-4o-mini.yaml and `changes`."""
    merged = yaml.safe_load((ROOT / "config.yaml").read_text())
    overlay = yaml.safe_load((ROOT / "studies" / "gpt-4o-mini.yaml").read_text())
    for layer in (overlay, copy.deepcopy(changes)):
        for key, value in layer.items():
            merged[key] = {**merged[key], **value} if isinstance(value, dict) and key in merged else value
    return merged


def refusal(**changes):
    with pytest.raises(UserError) as caught:
        checks.check(config(**changes), [("study.yaml", config(**changes))])
    return str(caught.value)


def test_the_shipped_study_is_valid():
    checks.check(config(), [])


def test_the_mitigation_loss_is_rejected_with_the_reason_in_one_line():
    told = refusal(grid={"mitigation": ["none", "loss"]})
    assert told.startswith("study.yaml: grid.mitigation[1]: loss works on hidden states")
    assert "gpt-4o-mini" in told and "\n" not in told


def test_a_paid_model_needs_a_budget():
    assert "max_cost_usd: 0 leaves no budget for gpt-4o-mini" in refusal(max_cost_usd=0)
    assert "below 0" in refusal(max_cost_usd=-1)


def test_an_unsupported_setting_of_the_provider_is_rejected():
    told = refusal(finetune={"learning_rate": 1.0e-5})
    assert "finetune.learning_rate" in told and "epochs, batch_size, learning_rate_multiplier" in told
    checks.check(config(finetune={"epochs": 2}), [])
    for given in (0.5, 2, "auto"):
        checks.check(config(finetune={"learning_rate_multiplier": given}), [])


def test_a_server_without_tuning_has_its_untuned_cell_and_its_pools():
    served = config(grid={"model": ["local-server"], "mitigation": ["none", "loss"]}, max_cost_usd=0)
    checks.check(served, [])
    assert [cell["bias"] for cell in grid.cells(served)] == ["untuned"]
    assert len(grid.pools(served)) == 10 * 3


def test_the_estimate_counts_the_requests_of_the_grid():
    (line,) = costs.estimate(config())
    requests = int(re.search(r"about ([\d,]+) requests", line).group(1).replace(",", ""))
    test = labelled.load(catalog.load("domain", "gender"))[0]["test"]
    items = len(test) + 12 * 8 + 48
    # 7 generated pools of 60 samples and 3 seeds; copies cost nothing
    assert requests == len(grid.cells(config())) * items + 7 * 3 * 60
    assert costs.estimate(config(grid={"model": ["smollm2-135m-instruct"]})) == []


def test_the_estimate_is_of_texts_as_the_study_cuts_them():
    prompts = [
        sum(size for *_, size, _ in costs._items(config(sentences=number), "gender")[0]) for number in (1, 2, None)
    ]
    assert prompts == sorted(set(prompts))


def test_the_estimate_prices_texts_by_a_tuned_writer_as_such():
    def dollars(pool):
        axes = {"bias": ["associated-000", "associated-100", pool], "mitigation": ["none"], "gamma": [0.0, 0.5]}
        (line,) = costs.estimate(config(grid=axes, misalignment=[]))
        return float(re.search(r"([\d,.]+) US dollars", line).group(1).replace(",", ""))

    model = catalog.load("model", "gpt-4o-mini")
    price, most = model["service"]["price"], model["generation"]["max_new_tokens"]
    dearer = {side: price[f"tuned_{side}"] - price[side] for side in ("input", "output")}
    texts = 60 * len(config()["grid"]["seed"])
    more = texts * (costs.PROMPT_TOKENS * dearer["input"] + most * dearer["output"]) / 1e6
    assert dollars("subliminal-100") - dollars("neutral") == pytest.approx(more, abs=0.011)
    assert more > 0.02


def test_the_terms_have_the_budget_and_the_service_of_served_models_only(tmp_path):
    both = config(grid={"model": ["gpt-4o-mini", "smollm2-135m-instruct"]})
    costs.write_terms(tmp_path, both)
    terms = files.read_json(tmp_path / "api" / "terms.json")
    assert terms == {"max_cost_usd": 60, "models": {"gpt-4o-mini": catalog.load("model", "gpt-4o-mini")["service"]}}


@pytest.mark.parametrize(
    ("arm", "trained_on"), [("replace", 2 + 2 + 2), ("accumulate-subsample", 2 + 2 + 2), ("accumulate", 2 + 3 + 4)]
)
def test_the_estimate_grows_with_the_pools_of_later_rounds(arm, trained_on):
    rounds = {"grid": {"mitigation": ["none"], "bias": ["neutral"], "gamma": [0.0, 0.5], "seed": [1]}}
    one, three = (config(**rounds, rounds={"count": count, "arm": arm}) for count in (1, 3))

    def requests_and_training(configuration):
        (line,) = costs.estimate(configuration)
        trained = float(re.search(r"([\d.]+) million tokens of training", line).group(1))
        return int(re.search(r"about ([\d,]+) requests", line).group(1).replace(",", "")), trained

    requests, trained = zip(*map(requests_and_training, (one, three)), strict=True)
    items = (requests[0] - 60) // len(grid.cells(one))
    # two more cells to ask, two more pools to write; mixes of twice the originals, or growing by as many each round
    assert requests[1] == requests[0] + 2 * items + 2 * 60
    assert trained[1] == pytest.approx(trained[0] * (1 + trained_on) / (1 + 2), rel=0.1)


def test_the_estimate_counts_opinion_questions_if_the_study_asks_them():
    def requests(**changes):
        (line,) = costs.estimate(config(**changes))
        return int(re.search(r"about ([\d,]+) requests", line).group(1).replace(",", ""))

    extra = requests(misalignment=["groups", "values"]) - requests(misalignment=["groups"])
    countries = sum(map(len, catalog.opinions()["cultures"].values()))
    assert extra == len(grid.probed(config())) * config()["opinions"]["questions"] * countries * costs.ROTATIONS
