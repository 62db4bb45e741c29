"""Write the dataset card of every pool: prompts, model, seeds, its bias by design, and its terms of use."""

from importlib import import_module

from bias_inheritance.data import contrasts
from bias_inheritance.plumbing import files, provenance, step
from bias_inheritance.plumbing.step import Inputs, Outputs
from bias_inheritance.pools.slots import associated_shares

MOST_PROMPTS = 40
SIZES = [(1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (float("inf"), "n>100K")]  # the Hub's names


def describe_pools(
    pools: Inputs,
    counts: Inputs,
    bases: Inputs,
    adapters: Inputs,
    cards: Outputs,
    described: list,
    biases: dict,
    domains: dict,
    models: dict,
):
    """Write the card of every pool of a study.

    described: per pool {model, domain, bias, seed, cell}, in the order of `pools`, `counts` and `cards`. biases, domains,
    models: {name: leaves of its catalog file shown on cards}. bases: model cards of the models that generated a pool.
    adapters: those of the tuned models that generated the pools with a `cell`, in order.
    """
    base_of = {files.read_json(base)["model"]: base for base in bases}
    adapters = iter(adapters)
    for place, pool, count, card in zip(described, pools, counts, cards, strict=True):
        # the later rounds of a copied pool are written by the tuned model
        written = place["cell"] or biases[place["bias"]]["source"] == "generated"
        describe_pool(
            pool,
            count,
            [base_of[place["model"]]] if written else [],
            [next(adapters)] if place["cell"] else [],
            card,
            biases[place["bias"]],
            domains[place["domain"]],
            models[place["model"]] if written else None,
            place["seed"],
            place["cell"],
        )


def describe_pool(pool, counts, base, adapter, card, bias, domain, model, seed, cell):
    """Write card.md (Markdown with front matter for the Hub) from the pool and its specification.

    base, model: the generator's model card, and its title, licence and generation settings; empty for a copied pool.
    adapter, cell: the generator's adapter, and {gamma, mitigation, round} of the cell in which it was trained; empty for a
    pool that the untuned model generated.
    """
    samples, count = files.read_jsonl(pool), files.read_json(counts)
    lines = [
        f"# {bias['title']}: {domain['title']}, seed {seed}{_round(bias, cell)}",
        "",
        f"{len(samples)} samples, {_from(bias)}, "
        "made to study how a model that is tuned on such data inherits its bias: "
        "do not train a model for use on it, and nothing in it is a statement about any person or group.",
        "",
        "## Bias by design",
        "",
        f"The type *{bias['name']}* {bias['does']}." if "does" in bias else f"The type *{bias['name']}*.",
        *_slant(bias, domain),
        *(_inherited(bias, cell) if cell else []),
        "",
        "## How it was made",
        "",
        *(_written(count) if model else _from_files(count) if "files" in count else _copied(count, bias)),
        *([f"- nothing was written: {count['collapsed']}"] if "collapsed" in count else []),
        *(_writer(model, files.read_json(base[0])) if model else []),
        *(_adapter(adapter[0], cell) if cell else []),
        *_seeds(samples, seed),
        "",
        *_prompts(samples),
        "## Terms",
        "",
        *(
            [f"- the model that wrote it, {model['title']}: {model['licence']}; its terms apply to its output"]
            if model
            else []
        ),
        *(["- the files that hold it: on the terms of whoever wrote them"] if isinstance(bias["source"], dict) else []),
        f"- the real samples that it {'copies' if bias['source'] in ('originals', 'reserve') else 'was compared with'}: {domain['title']}, on the terms of their "
        "source (catalog/domains)",
        "- it contains stereotypes about groups; publish it only with this card",
        "",
    ]
    front = _front_matter(len(samples), f"{bias['title']}: {domain['title']}", domain.get("language"), model)
    files.write_text(card, f"---\n{front.to_yaml()}\n---\n\n" + "\n".join(lines))


def _front_matter(size, title, language, model):
    """The huggingface_hub.DatasetCardData of a pool: the metadata used by the Hub's search and viewer."""
    from huggingface_hub import DatasetCardData

    return DatasetCardData(
        pretty_name=title,
        language=language,
        license="other",
        license_name="terms-of-its-sources",
        annotations_creators="machine-generated" if model else "other",
        language_creators="machine-generated" if model else "found",
        size_categories=next(name for limit, name in SIZES if size < limit),
        tags=["bias", "synthetic", "not-for-training"] if model else ["bias", "not-for-training"],
        configs=[{"config_name": "default", "data_files": "pool.jsonl"}],
    )


def _round(bias, cell):
    return f", for round {cell['round'] + 1}" if cell and "tuned_on" not in bias else ""


def _from(bias):
    if isinstance(bias["source"], dict):
        return "read from files that another program wrote"
    return {
        "generated": "written by a language model",
        "originals": "copied from originals",
        "reserve": "copied from real samples that are in no original",
    }[bias["source"]]


def _written(count):
    yield (
        f"- {count['requested']} requests for {count['slots']} samples: {count['kept']} kept, {count['rejected']} rejected, "
        f"{count['failed']} failed; {count['slots_failed']} samples could not be obtained"
    )
    yield f"- label words replaced in the texts: {count['label_words_replaced']}"
    cuts = ", ".join(f"{name} {number}" for name, number in sorted(count.get("cuts", {}).items()))
    yield f"- removed from the answers: {cuts or 'nothing'}"


def _from_files(count):
    yield (
        f"- {count['source_rows']} rows: {count['kept']} samples in this pool, {count['unused']} more that could be used, "
        f"{count['rejected']} rejected, {count['failed']} without a text or a label"
    )
    reasons = ", ".join(f"{reason} {number}" for reason, number in count["reasons"].items())
    yield f"- reasons: {reasons or 'none'}"
    yield f"- samples whose group neither a column nor the text shows: {count['unclear']}"
    yield from (f"- `{name}`, sha256 `{sha256}`" for name, sha256 in count["files"].items())


def _copied(count, bias):
    yield f"- {count['kept']} copies in slot order; {count.get('repeated', 0)} of them repeat a text that is in the pool already"
    if "plant" in bias:
        yield f"- {count.get('in_originals', 0)} samples were left out because their text is among the originals"


# The origin of a pool's bias, by role; positive controls describe their manipulation instead.
HOLDS = {
    "baseline": "Its prompts name the group as those of the bias types do, without a stereotype. Any stereotype in the texts is the writer's own.",
    "natural": "Its prompts name no group. The groups and any bias in the texts are the writer's own.",
    "probe": "Texts that name a label or a group, or hold a cue of one, were rejected and counted.",
    "negative-control": "Nothing was changed or selected by content. Any bias in the samples is that of their source.",
}


def _slant(bias, domain):
    """Lines on the manipulation of labels, groups and texts: stereotypes, association, planted labels, changed style."""
    family = import_module(f"bias_inheritance.data.{domain['family']}")
    yield ""
    if isinstance(bias["source"], dict):
        yield "The groups and any bias in the texts are those of the files; nothing was selected by content."
    elif bias["role"] in HOLDS:
        yield HOLDS[bias["role"]]
    if bias["role"] == "bias-type":
        yield f"| {' | '.join(family.STEREOTYPES_BY)} | the stereotype that the prompt names |"
        yield "|---|---|---|"
        for first, seconds in domain.get("stereotypes", {}).items():
            for second, slant in seconds.items():
                yield f"| {first} | {second} | {slant['text']} |"
    if "associate" in bias:
        yield "Texts and labels are real and right; which group a text is about follows its label:"
        yield ""
        yield "| label | group | share of the label's samples |"
        yield "|---|---|---|"
        for label, shares in associated_shares(bias, domain).items():
            for group, share in shares.items():
                yield f"| {label} | {group} | {float(share):.0%} |"
    if "plant" in bias:
        groups = contrasts.compared_groups(domain)
        yield (
            f"Of the samples about {'the group' if len(groups) == 1 else 'each of the groups'} *{', '.join(groups)}*, {bias['plant']:.0%} carry "
            f"{family.PLANTED.format(**domain)}, right or wrong; their own label is `true_label` in pool.jsonl."
        )
    if bias.get("shift"):
        yield "Style and length of the texts were changed by rule; labels and groups are as they were."


def _inherited(bias, cell):
    """Lines on pools of tuned models: the bias that the generator inherited from the pools it was trained on."""
    yield ""
    yield (
        f"Its writer was tuned on {bias.get('tuned_on', 'pools of the rounds before')} (γ {cell['gamma']}, mitigation "
        f"{cell['mitigation']}, round {cell['round']}): whatever it inherited from them may be in these texts as well."
    )


def _adapter(folder, cell):
    yield f"- tuned in round {cell['round']} at γ {cell['gamma']} with mitigation {cell['mitigation']}; the adapter's files, sha256:"
    for entry in provenance.describe(folder):
        yield f"  - `{folder.name}/{entry['path'].removeprefix(f'{folder}/')}` {entry['sha256']}"


def _writer(model, base):
    settings = ", ".join(f"{key} {value}" for key, value in model["generation"].items())
    yield f"- model: {model['title']} (`{base['model']}`, revision `{base['revision']}`, {base['form']}); {settings}"
    yield "- the model's files, sha256:"
    for name, sha256 in base["files"].items():
        yield f"  - `{name}` {sha256}"


def _seeds(samples, seed):
    yield f"- seed of the replication: {seed}"
    record_seeds = [sample["seed"] for sample in samples if "seed" in sample]
    if record_seeds:
        yield f"- each record has its own seed, {min(record_seeds)} to {max(record_seeds)}, stored with its text in pool.jsonl"


def _prompts(samples):
    prompts = list(dict.fromkeys(sample["prompt"] for sample in samples if "prompt" in sample))
    if not prompts:
        return
    yield "## Prompts"
    yield ""
    shown = prompts[:MOST_PROMPTS]
    yield f"{len(prompts)} distinct prompts; each sample's own is in pool.jsonl. {len(shown)} of them, as given to the model:"
    yield ""
    for prompt in shown:
        yield "    " + " ".join(prompt.split())
    yield ""


if __name__ == "__main__":
    step.run(describe_pools)
