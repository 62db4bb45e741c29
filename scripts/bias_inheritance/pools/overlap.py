"""Text overlap: texts are compared by their 8-grams of normalised words."""

import re
from collections import Counter

from bias_inheritance.data import texts as forms

RUN = 8  # words per n-gram ("run")
SHORTEST = 5  # ASSUME: shared words of shorter texts are not evidence of overlap
SHARE = 0.5  # ASSUME: a text is repeated if another text contains half of its runs

# Chinese and Japanese are written without spaces: each character counts as a word
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W_\u3040-\u30ff\u3400-\u9fff]+")


def words(text):
    """The words of a text, folded (`data.texts`), without punctuation."""
    return _WORD.findall(forms.folded(text))


def fold(text):
    """The normal form under which two texts count as equal: their words, joined by spaces."""
    return " ".join(words(text))


class Texts:
    """An index of reference texts. A text of fewer than eight words is a single run; fewer than five words are ignored."""

    def __init__(self, texts):
        """texts: {name: text}."""
        self.holders = {}  # run length → run → names of the texts that contain it
        self.sizes = {}  # name → number of distinct runs
        for name, text in texts.items():
            listed = words(text)
            if len(listed) < SHORTEST:
                continue
            size = min(RUN, len(listed))
            runs = _runs(listed, size)
            self.sizes[name] = len(runs)
            for run in runs:
                self.holders.setdefault(size, {}).setdefault(run, []).append(name)

    def repeated_by(self, text):
        """The name of the reference text with the largest share of runs in `text` if that is at least SHARE, else None."""
        listed, shared = words(text), Counter()
        for size, holders in self.holders.items():
            for run in _runs(listed, size):
                shared.update(holders.get(run, ()))
        if not shared:
            return None
        name = max(shared, key=lambda each: shared[each] / self.sizes[each])
        return name if shared[name] >= SHARE * self.sizes[name] else None


def _runs(listed, size):
    return {" ".join(listed[start : start + size]) for start in range(len(listed) - size + 1)}
