"""Replace names, pronouns, gendered and cultural words by a mask or by neutral words.

Both variants follow Li et al. (arXiv 2502.04419).
"""

import json
import re
from functools import cache

from bias_inheritance.data import cues
from bias_inheritance.data.cues import with_article


def text(sample, settings, setting):
    """The sample with its cues replaced, and their number (`masked`).

    settings: {token}, the mask that replaces each cue; or {neutral: the replacement for names}, with the `neutral` words of
    the domain's `swap` ("they", "person") for all other cues. Verbs are not inflected ("they is").
    """
    if "token" in settings:
        masked, count = setting.family.mask(sample, setting.domain, settings["token"])
        return {**sample, "text": masked, "masked": count}
    plain, words = neutral(sample["text"], setting.domain)
    # names, and words that have no neutral one
    plain, names = setting.family.mask({**sample, "text": plain}, setting.domain, settings["neutral"])
    start = re.escape(settings["neutral"])
    plain = re.sub(rf"\b{start}(?: {start})+\b", settings["neutral"], plain)  # a first name and a surname
    plain = re.sub(rf"(^|[.!?]\s+){start}\b", lambda match: match[1] + _capital(settings["neutral"]), plain)
    return {**sample, "text": plain, "masked": words + names}


def neutral(text, domain):
    """(text with group words replaced by neutral ones, number of replacements); names of cultures are removed.

    The first matching row of `swap` applies; `where` is a pattern that must follow the word. Case and a/an are adjusted.
    """
    count = 0
    for pattern, new in _rows(json.dumps([domain.get("cultures", {}), domain["swap"]], sort_keys=True)):

        def replaced(match, new=new):
            if match["article"]:
                article = with_article(new or match.string[match.end() :] or "x").split()[0]
                return f"{_capital(article) if match['article'][0].isupper() else article} {new}"
            return _capital(new) if match["word"][0].isupper() else new

        text, replacements = pattern.subn(replaced, text)
        count += replacements
    return text.strip(), count


@cache
def _rows(described):
    """[(pattern of group words, neutral word)]; described: cultures and `swap` of a domain as JSON."""
    cultures, swap = json.loads(described)
    removed = [{"group": word, "neutral": ""} for word in cultures.values()]
    rows = [row for row in swap if "neutral" in row]
    patterns = []
    # removals first, so that an article agrees with the word that remains
    for row in sorted([*removed, *rows], key=lambda row: row["neutral"] != ""):
        words = {word for key, word in row.items() if key not in ("neutral", "where")}
        follows = f"(?={row['where']})" if "where" in row else ""
        space = "" if row["neutral"] else r"\s*"
        pattern = rf"(?P<article>\ban?\s+)?(?P<word>{cues.pattern(words)}){follows}{space}"
        patterns.append((re.compile(pattern, re.IGNORECASE), row["neutral"]))
    return patterns


def _capital(word):
    return word[:1].upper() + word[1:]
