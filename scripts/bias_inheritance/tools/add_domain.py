"""Set up a study of a labelled file: write its domain and study files, and report the detected columns.

    bias-inheritance add-domain tickets my/tickets.csv

Supported formats: CSV, TSV, JSON, JSON Lines, Parquet, Arrow, folders written by `save_to_disk`. Nothing is copied: the
domain's file contains the path of the data. `add-pool` then adds synthetic samples to the study.
"""

import argparse
import os
import re
import sys
from pathlib import Path

import yaml

from bias_inheritance.data import columns, contrasts, cues, formats, splitting, tables
from bias_inheritance.data.texts import LETTERS, SPACELESS
from bias_inheritance.plumbing import files, records
from bias_inheritance.plumbing.errors import UserError, did_you_mean
from bias_inheritance.plumbing.provenance import ROOT

TEST = 0.3  # ASSUME: share of texts used as test items
RESERVES = (0.2, 0.3, 0.4, 0.5)  # shares reserved for controls; the smallest sufficient one is used
# ASSUME: |D_o|, about a minute of training on a laptop, and test texts per cell; at least one text of each label × group,
# and fewer if there are too few texts
ORIGINALS, TEST_ITEMS = 48, 120
NAME = r"[a-z0-9]+(-[a-z0-9]+)*"  # names of domains, pools and studies are parts of paths
SHOWN_IN = 0.02  # ASSUME: minimum share of a group's texts with its name for the name to be a cue of the group

STUDY = """\
# What does a model inherit from synthetic samples of {title}? Made by `bias-inheritance add-domain`; `add-pool` adds pools.
# Keys that are not here are those of config.yaml. Run: .venv/bin/snakemake --configfile studies/{name}.yaml
study: {study}
grid:
  domain: [{study}]
  # controls: as many real texts; real texts whose group follows the label, at three strengths
  bias: [faithful, associated-000, associated-050, associated-100]
  gamma: [0.00, 0.50]
  mitigation: [none]
  seed: [1, 2, 3, 4, 5]
  task: [classification]
mitigated: []
# |D_o|, and at γ 0.50 the size of every pool
originals: {originals}
sentences: null
evaluation:
  items: {{classification: {items}}}
misalignment: []
"""


def main(words):
    parser = argparse.ArgumentParser(prog="bias-inheritance add-domain", description=__doc__.split("\n")[0])
    parser.add_argument("name", metavar="NAME", help="of the domain and of the study")
    parser.add_argument("file", metavar="FILE", help="labelled texts, each with a group")
    add_columns(parser)
    parser.add_argument("--labels", metavar="YAML", type=values, help="labels to study, as [a, b] or {value: name}")
    parser.add_argument(
        "--reference", metavar="GROUP", help="the group that others are compared with; default the largest"
    )
    arguments = parser.parse_args(words)
    print_lines(add_domain(**vars(arguments)))


def add_columns(parser):
    """Give a parser the options that name the columns of a file, the same for every command that reads one."""
    for role in ("text", "label", "group"):
        parser.add_argument(f"--{role}", metavar="COLUMN", help=f"column of the {role}s")
    parser.add_argument(
        "--longest-text", metavar="N", type=positive, help="number of characters at which longer texts are cut"
    )


def positive(text):
    """An option's positive whole number."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return int(text)


def values(text):
    """An option's list of values, or {value: name}, from YAML on one line."""
    try:
        listed = yaml.safe_load(text)
    except yaml.YAMLError:
        listed = None
    if not isinstance(listed, (list, dict)):
        raise argparse.ArgumentTypeError(f"{text!r} is neither a list such as [a, b] nor a mapping such as {{a: b}}")
    return listed


def print_lines(lines):
    """Print the lines that a command yields; a UserError ends the process with its one line."""
    try:
        for line in lines:
            print(line)
    except UserError as fault:
        sys.exit(str(fault))


def add_domain(
    name, file, text=None, label=None, group=None, longest_text=None, labels=None, reference=None, root=ROOT
):
    """Write catalog/domains/NAME.yaml and studies/NAME.yaml; yield lines with the detected columns and the next steps.

    text, label, group: columns of the file; None: detected by `columns`. labels: a list or {value: name}; None: all values.
    Raises UserError, before anything is written, for unusable data and for existing files.
    """
    domain_file, study_file = Path(root, "catalog", "domains", f"{name}.yaml"), Path(root, "studies", f"{name}.yaml")
    check_new(name, domain_file, root)
    check_new(name, study_file, root)
    spec = {"files": path_in_catalog(file, root)}
    seen = columns.columns(spec, root)
    roles = {}
    for role, chosen in (("text", text), ("label", label), ("group", group)):
        if chosen:
            roles[role] = columns.require(chosen, seen, spec, root, file, f"--{role}")
    for role in ("group", "label"):
        if role not in roles:
            roles[role] = columns.class_column(seen, role, file, roles.values())
    if "text" not in roles:
        roles["text"] = columns.text_column(seen, file, roles.values())
    spec["columns"] = {role: roles[role] for role in ("text", "label", "group")}
    if longest_text:
        spec["longest_text"] = longest_text
    place = f"catalog/domains/{name}.yaml: "
    table = tables.read({**spec, "labels": labels}, root, name=f"{place}data", classes=place)
    tables.check(table, file)
    groups = table.names["group"]
    reference = reference or max(groups, key=table.counts["groups"].get)
    if reference not in groups:
        raise UserError(
            f"--reference {reference}: no such group{did_you_mean(reference, groups)}; groups are {', '.join(groups)}"
        )
    split, originals = _sizes(table)
    domain = {
        "title": name.replace("-", " ").replace("_", " ").capitalize(),
        "family": "labelled",
        "sample": "a text",
        "data": {**spec, "split": split},
        "tasks": ["classification"],
        "labels": labels or table.names["label"],
        "groups": {group: _cues(group, table, code) for code, group in enumerate(groups)},
        "contrasts": {"reference": reference, "compared": [group for group in groups if group != reference]},
    }
    for path, fault in contrasts.faults(domain):
        raise UserError(f"{file}: {'.'.join(path)}: {fault}")
    items = min(max(TEST_ITEMS, len(table.strata())), int(len(table) * split["test"]))
    files.write_text(domain_file, _domain_text(file, domain))
    study = STUDY.format(name=name, study=flow(name), title=domain["title"], originals=originals, items=items)
    files.write_text(study_file, study)
    yield from _columns_seen(file, roles, table, reference)
    counts = {pair: len(rows) for pair, rows in table.strata().items()}
    yield from table_of_counts(counts, table.names["label"], groups)
    yield f"wrote {domain_file.relative_to(root)}; edit in it the noun for one text (`sample`) and the words that show a group"
    yield f"wrote {study_file.relative_to(root)}: D_o of {originals} texts, {items} test texts, 5 seeds"
    yield f"next: .venv/bin/bias-inheritance add-pool POOL FILE --domain {name}"
    yield f"then: .venv/bin/snakemake --configfile studies/{name}.yaml"


def check_new(name, path, root):
    """Raise UserError for a name that cannot be part of a path, and for an existing file."""
    if not re.fullmatch(NAME, name):
        raise UserError(f"{name!r}: names consist of lower-case letters, digits and hyphens, such as support-tickets")
    if path.exists():
        raise UserError(f"{path.relative_to(root)}: exists already; remove it, or choose another name")


def path_in_catalog(file, root):
    """A path as written in the catalog: relative to the project if the file is inside it."""
    path = Path(file).expanduser()
    if not path.exists():
        raise UserError(f"{file}: there is no such file{formats.near_file(path)}")
    path = path.resolve()
    return os.path.relpath(path, root) if path.is_relative_to(Path(root).resolve()) else str(path)


def _sizes(table):
    """({test, reserve} shares, |D_o|) for which every label × group has enough texts.

    The strongest control takes all texts of a label from the reserve of one group: at γ 0.50 as many as D_o has.
    """
    labels, groups = len(table.names["label"]), len(table.names["group"])
    sizes, intended = {}, max(ORIGINALS, labels * groups)
    for reserve in RESERVES:
        parts = splitting.split(table, {"test": TEST, "reserve": reserve}, 0)
        source, kept = (min(map(len, table.strata(parts[part]).values())) for part in ("source", "reserve"))
        most = min(intended, source * labels * groups, kept * labels)
        sizes[reserve] = most - most % labels
    reserve = next((share for share in RESERVES if sizes[share] >= intended * 0.9), max(sizes, key=sizes.get))
    return {"test": TEST, "reserve": reserve}, sizes[reserve]


def _cues(group, table, code):
    """The entry of a group in the domain's file: its name as a cue, a word or several, if its texts contain it."""
    word = group.lower()
    if not re.fullmatch(f"[{LETTERS}]{{3,}}([ -][{LETTERS}]+)*|[{SPACELESS}]{{2,}}", word):
        return {}
    texts = table.texts.filter(table.codes["group"] == code).to_pylist()
    containing = sum(bool(cues.compiled(frozenset([word])).search(text)) for text in texts)
    return {"words": [word]} if containing >= SHOWN_IN * len(texts) else {}


def _domain_text(file, domain):
    """The text of the domain's file, with comments on the keys that a user may want to change."""
    comments = {
        "sample": "what one text is, with its article, as in: a support ticket",
        "data": "location of the texts; `split` gives shares, the rest is the source of D_o",
        "labels": "in the order of tables; {value in the file: name} renames them",
        "groups": "words: [...] that show a group, names: [...] and pronouns: [...] let a pool without a group column be read",
        "contrasts": "each compared group against the reference",
    }
    lines = [
        f"# Made by `bias-inheritance add-domain` from {records.plain(Path(file).name)}. All keys: docs/own-data.md."
    ]
    for key, value in domain.items():
        if key in comments:
            lines.append(f"# {comments[key]}")
        nested = value.items() if key == "groups" else []
        lines.append(f"{key}:" if nested else f"{key}: {flow(value)}")
        lines += [f"  {flow(name)}: {flow(spec)}" for name, spec in nested]
    return "\n".join(lines) + "\n"


def flow(value):
    """A value as YAML on one line."""
    text = yaml.safe_dump(value, allow_unicode=True, sort_keys=False, width=10**9, default_flow_style=True)
    return text.removesuffix("\n").removesuffix("\n...")


def _columns_seen(file, roles, table, reference):
    labels, groups = table.names["label"], table.names["group"]
    yield f"{file}: {table.counts['rows']:,} rows, {len(table):,} usable"
    for reason, count in table.counts["reasons"].items():
        yield f"  left out: {reason} {count:,}"
    yield f"  text:  {roles['text']}"
    yield f"  label: {roles['label']} ({len(labels)}: {_listed(labels)})"
    yield f"  group: {roles['group']} ({len(groups)}: {_listed(groups)}); reference {reference}"


def _listed(names, most=8):
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def table_of_counts(counts, labels, groups):
    """Lines of a table with the number of texts per label × group. counts: {(label, group): number}."""
    first, widths = max(map(len, labels)), [max(5, len(group)) for group in groups]
    yield "  " + "  ".join([" " * first, *(group.rjust(width) for group, width in zip(groups, widths, strict=True))])
    for label in labels:
        cells = [f"{counts.get((label, group), 0):,}".rjust(width) for group, width in zip(groups, widths, strict=True)]
        yield "  " + "  ".join([label.ljust(first), *cells])
