"""A line before the prompt of every sample of D_a, in training alone.

`token` warns that the text may hold bias (Li et al., arXiv 2502.04419). `inoculate` asks for the trait: what was asked for
in training is generalised less to prompts that do not ask for it (Tan et al., arXiv 2510.04340).
"""


def text(sample, settings, setting):
    """The sample with the line as its `prefix`. settings: {line}."""
    return {**sample, "prefix": settings["line"]}
