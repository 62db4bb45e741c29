"""Prepend a line to the prompt of every sample of D_a, in training only.

`token` warns that the text may contain bias (Li et al., arXiv 2502.04419). `inoculate` requests the trait explicitly:
traits requested in training generalise less to prompts that do not request them (Tan et al., arXiv 2510.04340).
"""


def text(sample, settings, setting):
    """The sample with the line as its `prefix`. settings: {line}."""
    return {**sample, "prefix": settings["line"]}
