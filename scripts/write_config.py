"""The resolved configuration of a study, beside its results."""

from bias_inheritance import files, step
from bias_inheritance.step import Output


def write_config(resolved: Output, config: dict):
    """Write the configuration as YAML, every key with the value that the study ran with."""
    import yaml

    files.write_text(resolved, yaml.safe_dump(config, sort_keys=True, allow_unicode=True))


if __name__ == "__main__":
    step.run(write_config)
