"""Requirements on the text of a sample, and the form in which texts are compared."""

import re
import unicodedata

MIN_WORDS = 8  # ASSUME: minimum length of a sample
# what a reader does not see or may leave out: accents, vowel signs of Hebrew and Arabic, stretched letters, soft hyphens,
# zero-width and direction marks
_MARKS = re.compile(
    "[\u00ad\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u0640\u064b-\u065f\u0670\u06d6-\u06ed\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]"
)


def folded(text):
    """A text without case, marks and variants of characters (NFKD), in which texts are compared."""
    return text.casefold() if text.isascii() else _MARKS.sub("", unicodedata.normalize("NFKD", text)).casefold()


def whole_sentences(text, finished):
    """A text on one line, without a truncated last sentence; '' if no sentence is complete."""
    text = re.sub(r"\s+", " ", text).strip()
    if finished and text and text[-1] in ".!?":
        return text
    ends = [match.end() for match in re.finditer(r"[.!?](?=\s|$)", text)]
    return text[: ends[-1]] if ends else ""
