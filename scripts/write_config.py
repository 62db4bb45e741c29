"""Write the resolved configuration of a study to its results."""

from bias_inheritance.plumbing import files, step
from bias_inheritance.plumbing.step import Output

FIRST_LINE = (
    "# What the study ran with. Left out: max_cost_usd, which changes no result, so that raising it reruns nothing.\n"
)


def write_config(resolved: Output, config: dict):
    """Write the configuration as YAML: every key that can affect a result, with the value used by the study."""
    import yaml

    files.write_text(resolved, FIRST_LINE + yaml.safe_dump(config, sort_keys=True, allow_unicode=True))


if __name__ == "__main__":
    step.run(write_config)
