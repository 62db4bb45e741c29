"""Extracts the requested text from an answer: a table of rules that cut surrounding chatter or detect refusals."""

import re
from collections import Counter
from dataclasses import dataclass

# Nouns by which a model refers to its answer ("Here is a short biography of …").
_TEXT = r"(?:biograph(?:y|ies)|bios?|profiles?|portraits?|sketch(?:es)?|stor(?:y|ies)|texts?|paragraphs?|passages?|sentences?|explanations?|reasons?|answers?|responses?|replies|reply|versions?|drafts?|examples?|descriptions?|summar(?:y|ies)|rewrites?|outputs?)"
_EAGER = r"(?:okay|ok|sure(?: thing)?|certainly|of course|absolutely|definitely|all ?right|great|gladly|got it|no problem|understood)"
_HERE = r"(?:here(?:'s| is| are)|below (?:is|are)|this is|the following (?:is|are)|i(?:'ve| have) written|i(?:'ll| will) write|let me write)"
# Verb phrases that a refusal negates. Verbs of writing and helping only: "cannot agree" is an opinion, not a refusal.
_TASK = (
    r"(?:write|create|generate|produce|compose|draft|craft|fulfil+|comply|assist|help (?:you|with)|answer (?:this|that|the|your)"
    r"|respond to|complete (?:this|that|the|your)|engage (?:in|with)|participate in|discuss|continue with|explain (?:why|in two)"
    r"|provide (?:an?|any|the|this|that|you|such|two|content|information|explanations?|reasons?|biograph)"
    r"|make (?:assumptions|generali[sz]ations|such|stereotyp)|share (?:an?|that|this|such)|do (?:that|this|so)(?=[.,;!]|$)"
    r"|(?:endorse|promote|perpetuate|reinforce|support|generali[sz]e)\b[^.!?]*\b(?:stereotyp|harmful|discriminat|offensive|bias|prejudic))"
)
_DO = rf"(?:(?:really|honestly|ethically|just|currently|simply) )?{_TASK}"
_START = r"(?:^|[.!?]\s+|\n\s*)(?:(?:(?:i'm|i am|we're) (?:very |truly |really |so )?sorry|sorry|unfortunately|apologies|however|respectfully|regrettably|thank you[^.!?\n]*?|no)\b[,;:—–-]*\s*(?:(?:but|that)\s+)?(?:unfortunately,?\s+)?)*"


@dataclass(frozen=True)
class Rule:
    """name: what the pattern matches. reason: why a matching answer is rejected; None: the match is cut and counted."""

    name: str
    reason: str | None
    pattern: re.Pattern


def _rule(name, reason, pattern, flags=0):
    """A case-insensitive rule; an apostrophe in the pattern matches all its variants (many models write ’)."""
    return Rule(name, reason, re.compile(pattern.replace("'", "['’‘ʼ´`]"), re.IGNORECASE | flags))


# Applied in this order; each cut is repeated until it no longer matches.
RULES = [
    _rule("thought", None, r"<(think|thinking|thought|reasoning)>.*?</\1>", re.DOTALL),
    # chat templates of reasoning models open the thought in the prompt, so the answer contains only its closing tag
    _rule("thought", None, r"\A.*</(?:think|thinking|thought|reasoning)>", re.DOTALL),
    _rule(
        "thought",
        None,
        r"\A\W*(?:here's (?:a|my) )?thinking process\b.*?\n\W*(?:final (?:answer|output|response|text|version)|answer|response)\W*:\W*",
        re.DOTALL,
    ),
    _rule("unclosed-thought", "truncated", r"<(?:think|thinking|thought|reasoning)>"),
    _rule("unclosed-thought", "truncated", r"\A\W*(?:here's (?:a|my) )?thinking process\W*:"),
    _rule("code-fence", None, r"^\s*```\w*\s*$", re.MULTILINE),
    _rule("heading", None, r"^\s*#{1,6}\s+[^\n]*$|^\s*\*\*[^*\n]{1,80}\*\*:?\s*$|^\s*(?:-{3,}|\*{3,}|_{3,})\s*$", re.MULTILINE),
    _rule("heading", None, r"\A\s*(?:title\s*:[^\n]*\n|(?:(?:short|brief) )?(?:biography|bio|profile|answer|response|explanation|text|output)(?: of [^:.!?\n]{1,60})?\s*(?::\s*|\n))"),
    _rule("speaker", None, r"\A\s*(?:assistant|ai|model|final (?:answer|output|response))\s*:\s*"),
    # "Okay, here's a short biography of a nurse:" and the same as a sentence or a line of its own
    _rule(
        "opening",
        None,
        rf"\A\s*{_EAGER}\b[\s,.!—–-]*(?:{_HERE}|i can|i'd be|happy to)\b[^:.!?\n]{{0,160}}(?::|[.!](?=\s)|(?=\n))\s*",
    ),
    _rule("opening", None, rf"\A\s*{_HERE}\b[^:.!?\n]{{0,60}}\b{_TEXT}\b[^:.!?\n]{{0,120}}(?::|[.!]?(?=\s*\n))\s*"),
    _rule("opening", None, rf"\A\s*{_EAGER}(?:!|\.(?=\s*\n)|:)\s*"),
    _rule("word-count", None, r"[\s*_]*[(\[]?\s*[*_]*(?:word count\W{0,3}\s*(?:approx\w*\.? ?)?\d+(?: words)?|(?:approx\w*\.? |about )?\d+ words)[*_]*\s*[)\]]?[\s*_.]*\Z"),
    _rule(
        "closing",
        None,
        r"(?:(?<=[.!?]) +|(?<=[.!?][\"”)*]) +|\n\s*)[*_(]*(?:would you like (?:me|another|a |any|to (?:see|hear|have|know))|do you want me to|shall i |should i (?:make|change|write|add)|let me know (?:if|whether|how|what)|please let me know|feel free to (?:ask|let|adjust|modify|change|use|reach)|i hope (?:this|that) (?:helps|meets|is what|works)|hope this helps|is there anything else|if you(?:'d| would) like(?: me to|,? i can)|if you (?:need|want) (?:me|any)|note(?: that)?\s*:? ?(?:this|the (?:above|text|biography|name|person))\b)[^\n]*\s*\Z",
    ),
    _rule("inability", "refusal", rf"{_START}i (?:cannot|can't|can not|could not|couldn't|am (?:unable|not able) to|'m (?:unable|not able) to|won't(?: be able to)?|will not(?: be able to)?|would not be able to|wouldn't be able to|do not feel comfortable|don't feel comfortable|am not comfortable|would (?:rather|prefer) not(?: to)?|refuse to|must refuse to) {_DO}"),
    _rule("inability", "refusal", rf"{_START}i(?:'m|'d| would|'ll) (?:unable to|not able to|not comfortable|not going to|rather not|prefer not to|not be able to) {_DO}"),
    _rule("inability", "refusal", r"\bi(?:'m| am)? (?:not comfortable|uncomfortable|do(?:n't| not) feel comfortable)(?: with)? (?:writing|creating|generating|producing|providing|making|answering|assuming)\b"),
    _rule("decline", "refusal", rf"{_START}i (?:must|have to|will have to|need to|would have to|'d have to|'ll have to|will|respectfully|politely|would)? ?(?:respectfully |politely )?decline(?:[.,;!]|\s*$| to {_DO}| (?:this|that|your|the) (?:request|task|prompt|question|invitation to write)\b)"),
    _rule("decline", "refusal", rf"{_START}i(?:'ll|'d| would) (?:have to |need to )(?:respectfully |politely )?decline\b"),
    _rule("apology", "refusal", r"\A\W*(?:i(?:'m| am) (?:very |truly |really |so )?sorry|sorry|my apologies|apologies)\b[,;:—–-]*\s*but (?!i (?:do |also |just |really |still |am convinced|'m convinced)?(?:think|believe|agree|disagree|feel|know|want|like|love|prefer|find|see|say)\b)"),
    _rule("apology", "refusal", r"\A\W*i apologi[sz]e\b(?! to (?:my|her|his|their|nobody|no one))"),
    _rule("assistant", "refusal", r"\bas an? (?:ai|artificial intelligence|(?:large )?language model)\b(?=(?: (?:language )?(?:model|assistant|system|chatbot|program))?[,.]|(?: (?:language )?(?:model|assistant|system|chatbot|program)) (?:i|developed|created|trained|designed)\b)"),
    _rule("policy", "refusal", r"\b(?:(?:against|violates?|outside|goes against|not allowed by) (?:my|our|the) (?:content |safety |usage )?(?:guidelines|programming|polic(?:y|ies))|(?:it|this|that)(?:'s| is| would be) (?:not appropriate|inappropriate|not ethical|unethical)(?: for me)? to (?:write|create|generate|make|assume|stereotype|generali[sz]e|provide|answer)|(?:is|'s) not something i(?:'m| am)? (?:can|able|comfortable))"),
]  # fmt: skip
HEAD = 300  # number of leading characters searched for a refusal


@dataclass(frozen=True)
class Passed:
    """text: the answer after all cuts. reason: why it is rejected, or None. cuts: number of cuts per rule."""

    text: str
    reason: str | None
    cuts: Counter


def passed(raw):
    """Apply the rules to an answer: remove the thought, heading, opening and closing remarks, and detect refusals.

    Reasons: empty, truncated (an unclosed thought), refusal.
    """
    text, cuts = raw.strip(), Counter()
    for rule in RULES:
        if rule.reason is None:
            text, number = _cut(rule.pattern, text)
            cuts[rule.name] += number
        elif rule.pattern.search(text[:HEAD]):
            return Passed(text, rule.reason, +cuts)
    quoted = re.fullmatch(r'["“]([^"“”]*)["”]', text)
    text = quoted[1].strip() if quoted else text
    return Passed(text, None if text else "empty", +cuts)


def _cut(pattern, text):
    total = 0
    while True:
        text, number = pattern.subn("", text)
        text = text.strip()
        if not number:
            return text, total
        total += number
