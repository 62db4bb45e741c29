"""Text overlap: texts are compared by their 8-grams of normalised words."""

from collections import Counter

from bias_inheritance.data.texts import fold, words

RUN = 8  # words per n-gram ("run")
SHORTEST = 5  # ASSUME: a text of fewer words within another one is not evidence of overlap
SHARE = 0.5  # ASSUME: a text is repeated if another text contains half of its runs


class Texts:
    """An index of reference texts. A text of fewer than eight words is a single run, one of fewer than five is repeated
    only by a text that equals it (`texts.fold`)."""

    def __init__(self, texts):
        """texts: {name: text}."""
        self.short = {}  # folded text → its name
        self.holders = {}  # run length → run → names of the texts that contain it
        self.sizes = {}  # name → number of distinct runs
        for name, text in texts.items():
            listed = words(text)
            if len(listed) < SHORTEST:
                self.short.setdefault(fold(text), name)
                continue
            size = min(RUN, len(listed))
            runs = _runs(listed, size)
            self.sizes[name] = len(runs)
            for run in runs:
                self.holders.setdefault(size, {}).setdefault(run, []).append(name)

    def repeated_by(self, text):
        """The name of the reference text with the largest share of runs in `text` if that is at least SHARE, or of the short
        one that equals it; else None."""
        listed, shared = words(text), Counter()
        if len(listed) < SHORTEST:
            return self.short.get(fold(text))
        for size, holders in self.holders.items():
            for run in _runs(listed, size):
                shared.update(holders.get(run, ()))
        if not shared:
            return None
        name = max(shared, key=lambda each: shared[each] / self.sizes[each])
        return name if shared[name] >= SHARE * self.sizes[name] else None


def _runs(listed, size):
    return {" ".join(listed[start : start + size]) for start in range(len(listed) - size + 1)}
