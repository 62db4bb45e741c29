"""Requirements on the text of a sample."""

import re

MIN_WORDS = 8  # ASSUME: minimum length of a sample


def whole_sentences(text, finished):
    """A text on one line, without a truncated last sentence; '' if no sentence is complete."""
    text = re.sub(r"\s+", " ", text).strip()
    if finished and text and text[-1] in ".!?":
        return text
    ends = [match.end() for match in re.finditer(r"[.!?](?=\s|$)", text)]
    return text[: ends[-1]] if ends else ""
