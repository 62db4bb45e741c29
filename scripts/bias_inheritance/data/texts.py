"""Requirements on the text of a sample, its sentences and words, and the form in which texts are compared."""

import re
import unicodedata

MIN_WORDS = 8  # ASSUME: minimum length of a sample
# what a reader does not see or may leave out: accents, vowel signs of Hebrew and Arabic, stretched letters, soft hyphens,
# zero-width and direction marks
_POINTS = "\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed"
_LEFT_OUT = re.compile(f"[\u00ad\u0300-\u036f{_POINTS}\u0640\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
# Sets of characters, for use in brackets of regular expressions.
# Scripts without spaces between words (Thai, Lao, Myanmar, Khmer, Japanese, Chinese), in which each letter counts as a
# word, and their marks, which belong to the letter before them
SPACELESS = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
SPACELESS_MARKS = "".join(
    mark
    for mark in re.findall(f"[{SPACELESS}]", "".join(map(chr, range(0x3100))))
    if unicodedata.category(mark)[0] == "M"
)
# letters of all other scripts, with accents and with vowel signs, without which words differ (Hindi)
_OTHERS = re.sub(f"[{SPACELESS}{_POINTS}\ufe00-\ufe0f]", " ", "".join(map(chr, range(0x10000))))
_KINDS = "".join(category[0] for category in map(unicodedata.category, _OTHERS))
LETTERS = "".join(f"{chr(run.start())}-{chr(run.end() - 1)}" for run in re.finditer("[LM]+", _KINDS))
LETTERS += "\U00010000-\U0001e94f"  # of ancient and small scripts, with their signs
_SPACELESS_LETTER = re.compile(f"[{SPACELESS}][{SPACELESS_MARKS}]*")
WORD = re.compile(rf"{_SPACELESS_LETTER.pattern}|[{LETTERS}\d]+")

# what ends a sentence if a space follows, and the full stops of other scripts, which need none and may be quoted
_FULL_STOPS = "\u0589\u061f\u06d4\u0964\u0965\u0f0d\u0f0e\u104b\u1362\u1367\u1368\u17d4\u17d5\u3002\uff01\uff1f\uff61"
_CLOSING = "\"'\u2019\u201d\u300d\u300f\u300b\uff02\uff07\uff09)"
_THAI = "\u0e00-\u0eff"  # Thai and Lao have no full stops, but spaces between sentences and clauses
_END = re.compile(rf"[.!?](?=\s|$)|[{_FULL_STOPS}][{_FULL_STOPS}{_CLOSING}]*|[{_THAI}](?=\s)")
# where a sentence begins after such a full stop
NEXT_SENTENCE = rf"(?:(?<=[{_FULL_STOPS}])|(?<=[{_FULL_STOPS}][{_CLOSING}]))(?![{_FULL_STOPS}{_CLOSING}])\s*(?=\S)"


def folded(text):
    """A text without case, marks and variants of characters (NFKD), in which texts are compared."""
    return text.casefold() if text.isascii() else _LEFT_OUT.sub("", unicodedata.normalize("NFKD", text)).casefold()


def words(text):
    """The words of a text, folded, without punctuation."""
    return WORD.findall(folded(text))


def length(text):
    """The number of words of a text: parts between spaces; letters in scripts without spaces."""
    parts = text.split()
    return len(parts) if text.isascii() else sum(len(_SPACELESS_LETTER.findall(part)) or 1 for part in parts)


def fold(text):
    """The normal form under which two texts count as equal: their words, joined by spaces; of signs alone, the signs."""
    return " ".join(words(text)) or " ".join(folded(text).split())


def whole_sentences(text, finished):
    """A text on one line, without a truncated last sentence; '' if no sentence is complete."""
    text = re.sub(r"\s+", " ", text).strip()
    if finished and re.search(rf"[.!?{_THAI}]$", text):
        return text
    ends = [match.end() for match in _END.finditer(text)]
    return text[: ends[-1]] if ends else ""
