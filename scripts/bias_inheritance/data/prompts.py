"""Prompts of bias types: which template a domain uses, and whether every placeholder in it stands for something."""

import itertools
import string


def template(bias, domain):
    """The template of a bias type for a domain, or None: the domain's own, else that of its `prompts`, else its family's."""
    keys = (domain["name"], domain.get("prompts"), domain["family"])
    return next((bias["prompt"][key] for key in keys if key in bias["prompt"]), None)


def faults(family, bias, domain):
    """What is wrong with a generated pool's prompt in a domain of a family, one sentence each; none means usable.

    A placeholder is a name in braces; each must have a value for every combination of what the slots are balanced over.
    """
    import numpy as np

    text = template(bias, domain)
    if text is None:
        yield f"has no prompt for the domain {domain['name']}; add one named {domain['family']}, or {domain['name']}"
        return
    try:
        parsed = list(string.Formatter().parse(text))
    except ValueError as fault:
        yield f"prompt: {fault}; a brace that is no placeholder is written twice"
        return
    fields = [name for _, name, _, _ in parsed if name is not None]
    for _, name, form, conversion in parsed:
        if form or conversion:
            yield f"prompt: {{{name}{f'!{conversion}' if conversion else ''}{f':{form}' if form else ''}}} has a format; write {{{name}}}"
    try:
        attributes = family.attributes(bias, domain)
    except KeyError as fault:
        yield f"names several identities at once, for which the domain {domain['name']} has no {fault.args[0]}"
        return
    # what a prompt says depends on label and group alone; of other attributes any value will do
    choices = [values if name in ("label", "group") else values[:1] for name, values in attributes.items()]
    told = set()
    for chosen in itertools.product(*choices):
        slot = dict(zip(attributes, chosen, strict=True))
        values = family.values(bias, domain, slot, np.random.default_rng(0))
        for name in fields:
            if name not in values and name not in told:
                told.add(name)
                place = " and ".join(str(slot[key]) for key in ("label", "group") if slot.get(key))
                yield f"prompt: {{{name}}} stands for nothing in the domain {domain['name']} ({place}); there are {', '.join(f'{{{key}}}' for key in values)}"
