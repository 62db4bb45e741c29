"""What a server's answer says: text, end, listing of likely tokens, tokens used, or an error under whatever status.

Servers that call themselves OpenAI-compatible differ in all of these. Each function reads every spelling it can and
says what it could not read, so that the caller can name the setting to change.
"""

import json
import math

CUT_OFF = {"length", "max_tokens"}  # finish reasons of an answer that was cut off; any other one, or none, is an end
FILTERED = {"content_filter", "safety", "refusal"}  # finish reasons of an answer that the server withheld
REFUSED = {"content_filter", "content_policy_violation", "invalid_prompt"}  # error codes that judge the prompt
IMPOSSIBLE = -9999.0  # this and less stands for minus infinity, which JSON cannot hold
EXCESS = 0.05  # by which the listed probabilities of one place may exceed 1, being rounded
# HTTP statuses of errors that are given by name alone
STATUSES = {
    **dict.fromkeys([*REFUSED, "invalid_request_error", "context_length_exceeded", "invalid_argument"], 400),
    **dict.fromkeys(["unsupported_parameter", "unsupported_value", "badrequesterror"], 400),
    **dict.fromkeys(["invalid_api_key", "authentication_error", "unauthenticated"], 401),
    **dict.fromkeys(["permission_error", "permission_denied"], 403),
    **dict.fromkeys(["model_not_found", "not_found_error", "not_found"], 404),
    **dict.fromkeys(["insufficient_quota", "rate_limit_exceeded", "rate_limit_error", "resource_exhausted"], 429),
    **dict.fromkeys(["overloaded_error", "unavailable"], 503),
}


class Malformed(Exception):
    """A server's answer that cannot be read, though its status says that all is well; it broke off, most likely."""


class NoCompletion(Malformed):
    """A whole answer that holds no message where a chat completion has it."""


def read(text):
    """The parts of a chat completion, given as the text of the response.

    Returns {id, model, text, refused, finish, finished, listed, unlisted, prompt_tokens, completion_tokens}. finish: the
    server's own word for the end; listed: see `listing`, and unlisted what stood in its place. Counts of tokens are
    None where the server gives none. Raises Malformed where there is no message, NoCompletion if the answer is whole.
    """
    try:
        content = json.loads(text)
    except ValueError as fault:
        raise Malformed(f"{type(fault).__name__}: {fault}; it begins {text[:80]!r}") from None
    try:
        first = content["choices"][0]
        message, finish = first["message"], first.get("finish_reason")
        written, refusal = text_of(message.get("content")), text_of(message.get("refusal"))
    except (KeyError, IndexError, TypeError, AttributeError) as fault:
        raise NoCompletion(f"{type(fault).__name__}: {fault}; it begins {text[:80]!r}") from None
    usage = content.get("usage") if isinstance(content.get("usage"), dict) else {}
    listed, unlisted = listing(first.get("logprobs"))
    if listed:
        listed, unlisted = spelled(listed, written)
    reason = str(finish).lower()
    return {
        "id": content.get("id"),
        "model": content.get("model"),
        "text": (refusal or written).strip(),
        "refused": bool(refusal) or reason in FILTERED,
        "finish": finish,
        "finished": reason not in CUT_OFF,
        "listed": listed,
        "unlisted": unlisted,
        "prompt_tokens": _count(usage.get("prompt_tokens")),
        "completion_tokens": _count(usage.get("completion_tokens")),
    }


def text_of(content):
    """The text of a message's content: itself, or its text parts joined; thoughts and other parts are left out."""
    if content is None or isinstance(content, str):
        return content or ""
    parts = content if isinstance(content, list) else [content]
    texts = [
        part if isinstance(part, str) else part["text"]
        for part in parts
        if isinstance(part, str) or part.get("type", "text") in ("text", "output_text")
    ]
    return "".join(text if isinstance(text, str) else text["value"] for text in texts)


def listing(logprobs):
    """(places, None), or (None, what is there instead) of a choice's `logprobs`.

    places: per token of the answer {token, logprob, top: [[token, logprob], …]}, in nats; a log-probability of None
    stands for minus infinity.
    """
    if logprobs is None:
        return None, "none"
    content = logprobs.get("content") if isinstance(logprobs, dict) else None
    if not content:
        other = sorted(key for key, value in logprobs.items() if value) if isinstance(logprobs, dict) else [logprobs]
        return None, f"another shape ({', '.join(map(str, other))[:80]})" if other else "none"
    try:
        places = [_place(place) for place in content]
    except (KeyError, TypeError, ValueError, AttributeError):
        return None, f"another shape ({json.dumps(content)[:80]})"
    if not any(place["top"] for place in places):
        return None, "none but the tokens of the answer itself"
    for place in places:
        mass = math.fsum(math.exp(logprob) for _, logprob in place["top"] if logprob is not None)
        if mass > 1 + EXCESS:
            return None, f"numbers that are no log-probabilities (their exponentials add up to {mass:.2f})"
    return places, None


def spelled(places, text):
    """(places with the tokens as text, None), or (None, what is wrong) where the tokens taken do not begin the text.

    Some servers list tokens as the vocabulary has them ("Ġnurse", "▁nurse"), others those of a thought that they leave
    out of the text, or numbers.
    """
    text = text.strip()
    for change in (str, _from_vocabulary):
        first = next(filter(None, (change(place["token"]).strip() for place in places)), "")
        partial = "\ufffd" in first or first.startswith("bytes:")  # the beginning of a character
        if partial or text.startswith(first) or first.startswith(text):
            return [
                {
                    **place,
                    "token": change(place["token"]),
                    "top": [[change(token), logprob] for token, logprob in place["top"]],
                }
                for place in places
            ], None
    return None, f"tokens that do not begin its answer ({places[0]['token'][:20]!r} for {text[:20]!r})"


def _from_vocabulary(token):
    """A token's text from its name in a vocabulary of bytes (GPT-2) or of pieces (SentencePiece)."""
    return token.replace("Ġ", " ").replace("Ċ", "\n").replace("▁", " ")


def _place(place):
    token, logprob = _token(place["token"]), _logprob(place["logprob"])
    top = [[_token(entry["token"]), _logprob(entry["logprob"])] for entry in place.get("top_logprobs") or []]
    # the listing knows better than a server that gives the token taken no number of its own
    return {"token": token, "logprob": dict(top).get(token) if logprob is None else logprob, "top": top}


def _token(token):
    if not isinstance(token, str):
        raise TypeError(token)
    return token


def _logprob(value):
    """A log-probability in nats, None for minus infinity in any of its spellings."""
    number = -math.inf if value is None else float(value)
    if number > 700:
        raise ValueError(value)
    return number if number > IMPOSSIBLE else None


def _count(value):
    return int(value) if isinstance(value, int | float) and value > 0 else None


def true_status(text, chat):
    """The status that a response under status 200 should have had, or None where it may stand.

    An error in the body counts as the status that its code names, 502 where it names none. chat: whether a chat
    completion was asked for, which is one of an object with choices; a body that begins like one may be an answer that
    was lost in part, and paid for, so that it is left to `read`.
    """
    try:
        content = json.loads(text)
    except ValueError:
        return 502 if chat and not text.lstrip().startswith("{") else None
    if not isinstance(content, dict):
        return 502 if chat else None
    choices = content.get("choices")
    first = choices[0] if chat and isinstance(choices, list) and choices else None
    error = content.get("error") or (isinstance(first, dict) and first.get("error"))
    if not error and (first is not None or not chat):
        return None
    if not chat and content.get("id"):
        return None  # an object that tells its own error, as a fine-tuning job does
    for place in (error, content):
        for key in ("code", "status", "status_code", "type"):
            value = place.get(key) if isinstance(place, dict) else None
            if str(value).isdigit() and 400 <= int(value) < 600:
                return int(value)
            if str(value).lower() in STATUSES:
                return STATUSES[str(value).lower()]
    return 502


def words(text):
    """What the text of an error response says, in whichever of the usual places it stands."""
    try:
        content = json.loads(text)
    except ValueError:
        return text
    if not isinstance(content, dict):
        return text
    choices = content.get("choices")
    first = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    error = content.get("error") or first.get("error") or content
    if not isinstance(error, dict):
        return str(error)
    said = [error.get(key) for key in ("message", "detail", "msg", "error")]
    metadata = error.get("metadata")
    if isinstance(metadata, dict):
        said.append(metadata.get("raw"))  # a gateway's copy of what the server behind it said
    return "; ".join(part if isinstance(part, str) else json.dumps(part) for part in said if part) or json.dumps(error)
