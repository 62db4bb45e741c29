"""Extracts the requested text from an answer: a table of rules that cut surrounding chatter or detect refusals."""

import re
from collections import Counter
from dataclasses import dataclass

from bias_inheritance.models import thoughts

# Nouns by which a model refers to its answer ("Here is a short biography of …").
_TEXT = r"(?:biograph(?:y|ies)|bios?|profiles?|portraits?|sketch(?:es)?|stor(?:y|ies)|texts?|paragraphs?|passages?|sentences?|explanations?|reasons?|answers?|responses?|replies|reply|versions?|drafts?|examples?|descriptions?|summar(?:y|ies)|rewrites?|outputs?)"
_EAGER = r"(?:okay|ok|sure(?: thing)?|certainly|of course|absolutely|definitely|all ?right|alright|great|gladly|got it|no problem|understood)"
_HERE = r"(?:here(?:'s| is| are)|below (?:is|are)|this is|the following (?:is|are)|i(?:'ve| have) written|i(?:'ll| will) write|let me write)"
# What a refusal declines: the request itself, or a text. "I cannot agree", "I can't share that view" and "I won't create
# trouble" are opinions.
_END = r"(?=\s*(?:[.,;:!—–-]|$))"
_REQUEST = rf"(?:{_TEXT}|content|materials?|information|requests?|prompts?|tasks?|topics?|subjects?|stereotyp\w*|generali[sz]\w*|assumptions?|propaganda|hate speech)\b"
_OBJECT = rf"(?:(?: (?:with|to|in|on|about|for))?(?: (?:it|this|that|these|those|such|one|them))?(?: for you)?{_END}|(?:[ ][^\s.,;:!?]+){{0,6}} {_REQUEST})"
_TASK = (
    r"(?:(?:write|compose|draft)\b(?! off\b| down\b)|help (?:you|with (?:this|that|it|such))\b|assist you\b|explain (?:in two|why [^.,!?]*\b(?:agree|disagree|would)\b)"
    rf"|(?:create|generate|produce|craft|comply|assist|help|fulfil+|answer|respond|complete|engage|participate|discuss|continue|provide|give|offer|share|make|do|take part){_OBJECT}"
    r"|(?:endorse|promote|perpetuate|reinforce|support|generali[sz]e)\b[^.!?]*\b(?:stereotyp|harmful|discriminat|offensive|bias|prejudic))"
)
_DO = rf"(?:(?:really|honestly|ethically|just|currently|simply|knowingly|in good conscience) |,? (?:and|or) (?:will not|won't|cannot|can't),? )?(?:(?:agree|consent|bring myself|continue|engage in|participate in|take part in) (?:to )?)?{_TASK}"
_AI = r"(?:AI|artificial intelligence|(?:large )?language model)\b"
# What may stand before a refusal: "I'm afraid that", "Sorry, but", "As a responsible AI,".
_SORRY = rf"(?:(?:i'm|i am|we're|we are) (?:very |truly |really |so )?sorry|sorry|unfortunately|(?:my )?apologies|however|respectfully|regrettably|thank you[^.!?\n]*?|no|(?:i'm|i am) afraid|i regret(?: to (?:say|inform you|tell you))?|(?:as|i'm|i am) (?:just |only |merely )?an? (?:[\w-]+ ){{0,3}}{_AI}[^.,;!?\n]*)\b"
_START = rf"(?:^|[.!?]\s+|\n\s*)(?:{_SORRY}[,;:—–-]*\s*(?:(?:but|that|and|so)\s+)?(?:unfortunately,?\s+)?)*"
_CANNOT = r"(?:cannot|can't|can not|could not|couldn't|won't(?: be able to)?|will not(?: be able to)?|shall not|shan't|would not be able to|wouldn't be able to|do(?: not|n't) think (?:that )?i (?:can|could|should|am able to)|(?:am|are) (?:unable|not able) to|(?:'m|'re) (?:unable|not able) to)"
# The request as a gerund: "not comfortable writing this".
_DOING = r"(?:writing|creating|generating|producing|providing|making|answering|assuming|discussing|helping with)\b"


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
    *(Rule("thought", None, pattern) for pattern in thoughts.CLOSED),
    *(Rule("unclosed-thought", "truncated", pattern) for pattern in thoughts.UNCLOSED),
    _rule("code-fence", None, r"^\s*```\w*\s*$", re.MULTILINE),
    _rule("heading", None, r"^\s*#{1,6}\s+[^\n]*$|^\s*(?:\*\*[^*\n]{1,80}\*\*|__?[^_\n]{1,80}__?):?\s*$|^\s*<(b|strong|title|h[1-6])>[^<\n]{1,80}</\1>\s*$|^\s*(?:-{3,}|\*{3,}|_{3,})\s*$", re.MULTILINE),
    _rule("heading", None, r"\A\s*(?:title\s*:[^\n]*\n|(?:(?:an?|the|my) )?(?:(?:short|brief) )?(?:biography|bio|profile|answer|response|explanation|text|output)(?: of [^:.!?\n]{1,60})?\s*(?::\s*|\n))"),
    _rule("speaker", None, r"\A\s*(?:assistant|ai|model|final (?:answer|output|response))\s*:\s*"),
    # "Okay, here's a short biography of a nurse:" and the same as a sentence or a line of its own
    _rule(
        "opening",
        None,
        rf"\A\s*{_EAGER}\b[\s,.!—–-]*(?:{_HERE}|i can|i'd be|happy to|let me|let's|i'll|i will)\b[^:.!?\n]{{0,160}}(?::|[.!](?=\s)|(?=\n))\s*",
    ),
    _rule("opening", None, rf"\A\s*{_HERE}\b[^:.!?\n]{{0,60}}\b{_TEXT}\b[^:.!?\n]{{0,120}}(?::|[.!]?(?=\s*\n))\s*"),
    _rule("opening", None, r"\A\s*here (?:you go|it is|they are|goes)\b[^.!?\n:]{0,20}(?::|[.!]?(?=\s*\n))\s*"),
    _rule("opening", None, rf"\A\s*(?:this|the following) {_TEXT} (?:describes|is about|is of|tells|follows|shows|explains)\b[^:.!?\n]{{0,120}}:\s*"),
    _rule("opening", None, rf"\A\s*{_EAGER}(?:!|\.(?=\s*\n)|:)\s*"),
    _rule("word-count", None, r"[\s*_]*[(\[]?\s*[*_]*(?:(?:word count|total words|words|number of words)\W{0,4}\s*(?:approx\w*\.? ?)?\d+(?: words)?|(?:approx\w*\.? |about )?\d+ words\.?)[*_]*\s*[)\]]?[\s*_.]*\Z"),
    _rule(
        "closing",
        None,
        r"(?:(?<=[.!?]) +|(?<=[.!?][\"”)*]) +|\n\s*)[*_(]*(?:would you like (?:me|another|a |any|to (?:see|hear|have|know))|do you want (?:me to|it|this|another|a different|any)|shall i |should i (?:make|change|write|add)|let me know (?:if|whether|how|what)|please let me know|feel free to (?:ask|let|adjust|modify|change|use|reach)|i hope (?:this|that) (?:helps|meets|is what|works)|hope this helps|i hope you (?:like|enjoy) (?:it|this)|is there anything else|if you(?:'d| would) like(?: me to|,? i can)|if you (?:need|want) (?:me|any)|note(?: that)?[*_]*\s*:?[*_]* ?(?:this|the (?:above|text|biography|name|person))\b)[^\n]*\s*\Z",
    ),
    _rule("inability", "refusal", rf"{_START}(?:i|we) ?(?:{_CANNOT}|do not feel comfortable|don't feel comfortable|am not comfortable|would (?:rather|prefer) not(?: to)?|refuse to|must refuse to)(?:,| )? ?{_DO}"),
    _rule("inability", "refusal", rf"{_START}i(?:'m|'d| would|'ll) (?:not comfortable|not going to|rather not|prefer not to|not be able to) {_DO}"),
    _rule("inability", "refusal", rf"\bi(?:'m| am)? (?:not comfortable|uncomfortable|do(?:n't| not) feel (?:comfortable|right|at ease))(?: with| about)? {_DOING}"),
    _rule("inability", "refusal", rf"\A{_START}(?:i|we) ?{_CANNOT}[.!]*\Z"),
    _rule("decline", "refusal", rf"{_START}i(?:'m going to have to| am going to have to| must| have to| will have to| need to| would have to|'d have to|'ll have to| will| respectfully| politely)? (?:respectfully |politely )?decline(?:[.,;!]|\s*$| to (?:write|answer|create|generate|provide|explain|respond|comment|help|do so|participate|engage)\b| (?:this|that|your|the) (?:request|task|prompt|question|one|invitation to write)\b)"),
    _rule("decline", "refusal", rf"{_START}i(?:'ll|'d| would) (?:have to |need to )(?:respectfully |politely )?decline\b"),
    _rule("apology", "refusal", r"\A\W*(?:i(?:'m| am) (?:very |truly |really |so )?sorry|sorry|my apologies|apologies)\b[,;:—–-]*\s*but (?!i (?:do |also |just |really |still |am convinced|'m convinced)?(?:think|believe|agree|disagree|feel|know|want|like|love|prefer|find|see|say)\b)"),
    _rule("apology", "refusal", r"\A\W*i apologi[sz]e\b(?! to (?:my|her|his|their|nobody|no one))"),
    _rule("assistant", "refusal", rf"\b(?:as|being|i'm|i am) (?:just |only |merely )?an? (?:[\w-]+ ){{0,3}}?{_AI}(?: (?:language )?(?:model|assistant|system|chatbot|program))?(?=[,.;]| (?:i|developed|created|trained|designed|made|without|that (?:does|has|can)|(?:and|so) (?:i |so |as such |therefore )?(?:have|do|don't|cannot|can't|am))\b)"),
    _rule("assistant", "refusal", r"\bi (?:do not|don't) have (?:any )?(?:personal|own) (?:opinions?|beliefs?|views?|feelings)\b"),
    _rule("policy", "refusal", r"\b(?:(?:against|violates?|outside|goes against|not allowed by) (?:my|our|the) (?:content |safety |usage )?(?:guidelines|programming|polic(?:y|ies))|(?:it|this|that)(?:'s| is| would be|'d be| isn't| would| wouldn't)? (?:not appropriate|not be appropriate|be inappropriate|be appropriate|appropriate|inappropriate|not ethical|not be ethical|unethical|be unethical|not right|be wrong)(?: for me)? to (?:write|create|generate|make|assume|stereotype|generali[sz]e|provide|answer)|(?:is|'s) not something i(?:'m| am)? (?:can|able|comfortable))"),
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
        elif rule.pattern.search(text[:HEAD] if rule.reason == "refusal" else text):
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
