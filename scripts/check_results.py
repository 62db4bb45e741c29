"""Hold a finished study against what it promised, before it is reported: γ, no test item in the training, all cells."""

import csv

from bias_inheritance import files, step
from bias_inheritance.errors import UserError
from bias_inheritance.step import Input, Inputs, Output


def check_results(
    scores: Input, questions: Inputs, trains: Inputs, checks: Output, cells: list, asked: list, originals: dict
):
    """Write checks.csv: each check, at what it looked and what it found.

    trains: the training rows of `cells` but `untuned`, questions: the items of the {domain, task} of `asked`, each in
    their order. originals: |D_o| of each domain. Raises UserError that names the file which breaks a promise.
    """
    tested = {domain: {} for domain in originals}  # cluster → the file of its items
    for path, place in zip(questions, asked, strict=True):
        tested[place["domain"]] |= {row["cluster"]: path for row in files.read_jsonl(path)}
    rounded, collapsed = 0.0, 0
    for path, cell in zip(trains, [cell for cell in cells if cell["bias"] != "untuned"], strict=True):
        rows, gamma, own = files.read_jsonl(path), float(cell["gamma"]), tested[cell["domain"]]
        if not rows and cell["round"] > 1:  # its pool had too few samples: the mix says so, and the scores
            collapsed += 1
            continue
        rounded = max(rounded, abs(_realised(path, rows, originals[cell["domain"]], gamma) - gamma))
        shared = sorted({row["cluster"] for row in rows} & own.keys())
        if shared:
            raise UserError(
                f"{path}: trains on {shared[0]}, a test item of {own[shared[0]]}{_more(shared)}; mend the splits of the domain {cell['domain']}"
            )
    _all_there(scores, cells, asked)
    mixes = f"{len(trains)} mixes" + (f", {collapsed} of them collapsed" if collapsed else "")
    found = [
        ("realised γ", mixes, f"as asked, but for rounding to whole samples (at most {rounded:.4f})"),
        ("overlap", f"{mixes}, {sum(map(len, tested.values()))} test clusters", "no test item was trained on"),
        ("cells", f"{len(cells)} cells", "each has a score of every task of its domain"),
    ]
    with files.replacing(checks) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("check", "looked_at", "found"), *found])


def _realised(path, rows, originals, gamma):
    """γ of a mix. Raises UserError unless it holds all originals, and D_a to the nearest whole sample."""
    added = sum(row["origin"] == "augmented" for row in rows)
    wanted = gamma * originals / (1 - gamma)
    if len(rows) - added != originals or abs(added - wanted) > 0.5 + 1e-9:
        raise UserError(
            f"{path}: holds {len(rows) - added} originals and {added} augmented samples; γ {gamma:.2f} of {originals} originals takes {wanted:.1f}: run again with --forcerun mix"
        )
    return added / len(rows)


def _all_there(scores, cells, asked):
    """Raise UserError unless the table has a row of each task of each cell, and of no other."""
    wanted = {
        (*map(str, cell.values()), place["task"])
        for cell in cells
        for place in asked
        if place["domain"] == cell["domain"]
    }
    with open(scores, encoding="utf-8", newline="") as file:
        found = {tuple(row[key] for key in (*cells[0], "task")) for row in csv.DictReader(file)}
    for wrong, said in ((wanted - found, "lacks"), (found - wanted, "should not have")):
        if wrong:
            first = "/".join(min(wrong))
            raise UserError(f"{scores}: {said} {first}{_more(wrong)}; run again with --forcerun gather_scores")


def _more(found):
    return f" and {len(found) - 1} more" if len(found) > 1 else ""


if __name__ == "__main__":
    step.run(check_results)
