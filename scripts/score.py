"""Score one cell on every task, from its stored predictions only."""

from importlib import import_module

from bias_inheritance.plumbing import files, step
from bias_inheritance.plumbing.seeds import record_seed
from bias_inheritance.plumbing.step import Input, Output
from bias_inheritance.pools import collapse
from bias_inheritance.tasks import metrics


def score(predictions: Input, scores: Output, tasks: list, domain: dict, replicates: int):
    """Write TASK.json for every task: the cell's rows of scores.csv, with bootstrap intervals of `replicates` draws.

    A collapsed cell has one row per task, metric `collapsed`, without a value.
    """
    import pyarrow.parquet as parquet

    for task in tasks:
        kind = import_module(f"bias_inheritance.tasks.{task['kind']}")
        dataset = domain["name"]
        if collapse.reason(predictions):
            rows = [metrics.row("collapsed", "all", None, n=0, scoring="none")]
        else:
            answered = parquet.read_table(predictions / f"{task['name']}.parquet").to_pylist()
            dataset = answered[0]["dataset"]
            rows = kind.score(answered, task, domain, replicates, record_seed("bootstrap", task["name"]))
        place = {"task": task["name"], "dataset": dataset, "relation": task["relation"]}
        files.write_json(scores / f"{task['name']}.json", [{**place, **row} for row in rows])


if __name__ == "__main__":
    step.run(score)
