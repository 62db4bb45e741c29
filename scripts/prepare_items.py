"""Write the items of one task, the same for every model of the study."""

from importlib import import_module

from bias_inheritance.data import benchmarks, corpora
from bias_inheritance.plumbing import files, step
from bias_inheritance.plumbing.errors import UserError
from bias_inheritance.plumbing.step import Input, Inputs, Output


def prepare_items(
    test: Input,
    questions: Output,
    task: dict,
    domain: dict,
    count: int | None,
    benchmark: Inputs = (),
    requests: Inputs = (),
):
    """Write the task's items as JSON Lines, at most `count` in the unit of the task (None: all).

    benchmark: local files of a published benchmark, passed to `items` as `task["files"]`; empty for other tasks and for
    benchmarks from the Hub. requests: the file that `task["requests"]` names, if any. Every item has a dataset, by default
    the domain. Raises UserError if there are no items.
    """
    if "data" in task:
        task = {**task, "files": benchmarks.located(task, benchmark)}
    family = import_module(f"bias_inheritance.data.{domain['family']}")
    kind = import_module(f"bias_inheritance.tasks.{task['kind']}")
    dataset = f"{domain['name']}{corpora.MARK}" if domain["fixture"] else domain["name"]
    items = [{"dataset": dataset, **item} for item in kind.items(task, domain, family, files.read_jsonl(test), count)]
    if not items:
        raise UserError(
            f"task {task['name']} of the domain {domain['name']}: the test data contain no item for it{f', or no cluster of at most {count}; raise evaluation.items' if count else ''}"
        )
    files.write_jsonl(questions, items)


if __name__ == "__main__":
    step.run(prepare_items)
