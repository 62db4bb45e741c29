"""What a text of a sample must be to count as one."""

import re

MIN_WORDS = 8  # ASSUME: shorter than this is no sample


def whole_sentences(text, finished):
    """A text on one line, without a last sentence that was cut off. '' where no sentence is whole."""
    text = re.sub(r"\s+", " ", text).strip()
    if finished and text and text[-1] in ".!?":
        return text
    ends = [match.end() for match in re.finditer(r"[.!?](?=\s|$)", text)]
    return text[: ends[-1]] if ends else ""
