"""The exception whose message is meant for the user, and the hint in it on a misspelt name."""

import difflib


class UserError(Exception):
    """An error that the user can fix; its message is one line: what is wrong, where, and how to fix it.

    A step prints the message without a stack trace and leaves no output. Any other exception is a bug and is shown with its
    trace.
    """


def did_you_mean(word, known):
    """ " (did you mean 'x'?)" with the known name that is most similar to `word`, ignoring case; "" if none is similar."""
    by_folded = {}
    for name in known:
        by_folded.setdefault(str(name).strip().casefold(), str(name))
    close = difflib.get_close_matches(str(word).strip().casefold(), by_folded, n=1, cutoff=0.6)
    return f" (did you mean {by_folded[close[0]]!r}?)" if close else ""
