"""Prompts of bias types: selection of the template for a domain, and validation of its placeholders."""

import itertools
import string


def template(bias, domain):
    """The template of a bias type for a domain, or None: by the domain's name, else its `prompts`, else its family."""
    keys = (domain["name"], domain.get("prompts"), domain["family"])
    return next((bias["prompt"][key] for key in keys if key in bias["prompt"]), None)


def faults(family, bias, domain):
    """Messages for all errors in a generated pool's prompt for a domain; none if it is usable.

    Each placeholder (a name in braces) must have a value for every combination of label and group.
    """
    import numpy as np

    text = template(bias, domain)
    if text is None:
        yield f"has no prompt for the domain {domain['name']}; add one named {domain['family']}, or {domain['name']}"
        return
    try:
        parsed = list(string.Formatter().parse(text))
    except ValueError as fault:
        yield f"prompt: {fault}; double a brace that does not belong to a placeholder"
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
    # the available placeholders depend on label and group only; one value of each other attribute suffices
    choices = [values if name in ("label", "group") else values[:1] for name, values in attributes.items()]
    reported = set()
    for chosen in itertools.product(*choices):
        slot = dict(zip(attributes, chosen, strict=True))
        values = family.values(domain, slot, np.random.default_rng(0))
        for name in fields:
            if name not in values and name not in reported:
                reported.add(name)
                place = " and ".join(str(slot[key]) for key in ("label", "group") if slot.get(key))
                yield f"prompt: {{{name}}} is not defined in the domain {domain['name']} ({place}); there are {', '.join(f'{{{key}}}' for key in values)}"
