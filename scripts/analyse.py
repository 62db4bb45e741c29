"""Compute effects from scores, and verdicts on the declared claims."""

from bias_inheritance.claims import frames
from bias_inheritance.claims.verdicts import evaluate
from bias_inheritance.plumbing import files, step
from bias_inheritance.plumbing.step import Input, Inputs, Output
from bias_inheritance.tasks import answers


def analyse(
    scores: Input,
    manipulation: Input,
    predictions: Inputs,
    misalignment: Inputs,
    inherited: Inputs,
    earlier: Inputs,
    effects: Output,
    verdicts: Output,
    declared: dict,
    cells: list,
):
    """Write effects.csv (per-seed effects of every cell) and claims.csv (`verdicts`: one row per claim, contrast and test).

    predictions: folders of the cells, whose wildcards are in `cells`, in the same order. misalignment: those of values.csv,
    groups.csv and distributions.csv that the study has; inherited: inheritance.csv, or nothing. earlier: the file of the
    look before this one, or nothing. declared: the result of `grid.declared`.
    """
    import pandas as pd

    table = frames.read_scores(scores)
    files.write_csv(effects, frames.effects(table, declared["comparisons"]))
    folders = {key_of(cell): folder for cell, folder in zip(cells, predictions, strict=True)}

    def items_of(model, domain, bias, gamma, mitigation, seed, round_, task):
        folder = folders.get((model, domain, bias, gamma, mitigation, seed, round_))
        return read_items(folder / f"{task}.parquet") if folder else None

    tables = [*map(frames.read_misalignment, misalignment), *map(frames.read_inheritance, inherited)]
    everything = pd.concat([table, *tables], ignore_index=True)
    closed = files.read_json(earlier[0]) if earlier else None
    files.write_csv(verdicts, evaluate(declared, everything, files.read_table(manipulation), items_of, closed))


def key_of(cell):
    """A cell's wildcards in the order and types of scores.csv."""
    return (
        cell["model"],
        cell["domain"],
        cell["bias"],
        float(cell["gamma"]),
        cell["mitigation"],
        int(cell["seed"]),
        int(cell["round"]),
    )


def read_items(path):
    """The items of a stored prediction as a frame with item, group, correct; None if the task was not run.

    A parse failure counts as wrong.
    """
    import pandas as pd
    from pyarrow import parquet

    if not path.exists():
        return None
    rows = [row for row in parquet.read_table(path).to_pylist() if row["options"]]
    correct = [answers.label(row) == row["label"] for row in rows]
    return pd.DataFrame([{"item": row["item"], "group": row["group"]} for row in rows]).assign(correct=correct)


if __name__ == "__main__":
    step.run(analyse)
