"""Write the items of one task: what every model of the study is asked, the same for all."""

from importlib import import_module

from bias_inheritance import files, step
from bias_inheritance.step import Input, Output


def prepare_items(test: Input, questions: Output, task: dict, domain: dict, count: int | None):
    """Write the task's items as JSON Lines; `count` limits them in the task's own unit (None: all)."""
    family = import_module(f"bias_inheritance.families.{domain['family']}")
    kind = import_module(f"bias_inheritance.tasks.{task['kind']}")
    files.write_jsonl(questions, list(kind.items(task, domain, family, files.read_jsonl(test), count)))


if __name__ == "__main__":
    step.run(prepare_items)
