"""Thoughts that a model writes before its answer, in the notation of each model family."""

import re

_TAG = r"think|thinking|thoughts?|reasoning|reflection|analysis|scratchpad|seed:think"
_FLAGS = re.IGNORECASE | re.DOTALL
_PROCESS = r"\A\W*(?:here['’]s (?:a|my) )?thinking process\b"
# A thought and the mark at its end. Chat templates of some models open the thought in the prompt, so that an answer
# contains only the closing tag; gpt-oss opens a channel, and leaves it to the server to separate them.
CLOSED = [
    re.compile(rf"[<\[◁]({_TAG})[>\]▷].*?[<\[◁]/\1[>\]▷]", _FLAGS),
    re.compile(rf"\A.*[<\[◁]/(?:{_TAG})[>\]▷]", _FLAGS),
    re.compile(r"\A.*<\|channel\|>final<\|message\|>", _FLAGS),
    re.compile(rf"{_PROCESS}.*?\n\W*(?:final (?:answer|output|response|text|version)|answer|response)\W*:\W*", _FLAGS),
]
# A thought that was cut off, or has no end mark.
UNCLOSED = [
    re.compile(rf"[<\[◁](?:{_TAG})[>\]▷]|<\|channel\|>", _FLAGS),
    re.compile(rf"{_PROCESS}\W*:", _FLAGS),
    re.compile(
        r"\A\W*(?:(?:okay|ok|alright|all right|hmm|so|first|well)\b[,. ]*)*(?:so,? )?"
        r"(?:(?:i|we) need to (?:write|create|produce|come up with|figure out|explain|answer)\b"
        r"|the user (?:wants|asks|is asking|needs|has asked|asked)\b|let(?: me|['’]s) think\b)",
        _FLAGS,
    ),
]


def answer_after(text):
    """The text after its thoughts; None if it ends within one."""
    for pattern in CLOSED:
        text = pattern.sub("", text)
    text = text.strip()
    return None if any(pattern.search(text) for pattern in UNCLOSED) else text
