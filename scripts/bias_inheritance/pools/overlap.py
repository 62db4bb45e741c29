"""Whether a text repeats another one: compared as folded words, in runs of eight."""

import re
import unicodedata
from collections import Counter

RUN = 8  # words that two texts share in one run
SHORTEST = 5  # ASSUME: what two texts of fewer words share says nothing
SHARE = 0.5  # ASSUME: a text is repeated where another one holds half of its runs

# Chinese and Japanese signs are words of their own: nothing stands between them
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W_\u3040-\u30ff\u3400-\u9fff]+")


def words(text):
    """The words of a text without case, punctuation and forms of letters that look alike."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def fold(text):
    """What two texts must share to be the same one: their words."""
    return " ".join(words(text))


class Texts:
    """Texts that others are held against; a text of fewer than eight words is one run, of fewer than five none."""

    def __init__(self, texts):
        """texts: {name: text}."""
        self.holders = {}  # size of the run → run → names of the texts that hold it
        self.sizes = {}  # name → how many different runs it has
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
        """The name of the text that `text` repeats most of, where that is half of it or more; else None."""
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
