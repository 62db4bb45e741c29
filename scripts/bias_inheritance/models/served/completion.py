"""Parsing of server responses: text, finish reason, listed tokens, token counts, and errors under any status.

OpenAI-compatible servers differ in all of these. Each function accepts all known variants and returns what it could not
parse, so that the caller can name the setting to change.
"""

import json
import math

CUT_OFF = {"length", "max_tokens"}  # finish reasons of a truncated answer; with any other one, or none, it is complete
FILTERED = {"content_filter", "safety", "refusal"}  # finish reasons of a withheld answer
REFUSED = {"content_filter", "content_policy_violation", "invalid_prompt"}  # error codes for rejected prompts
IMPOSSIBLE = -9999.0  # at most this: minus infinity, which JSON cannot represent
EXCESS = 0.05  # tolerance for rounding in the sum of listed probabilities
# HTTP statuses of errors that have only a name
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
    """An unparseable response with a success status, most likely an interrupted one."""


class NoCompletion(Malformed):
    """A complete response without the message of a chat completion."""


def read(text):
    """The parts of a chat completion from the text of the response.

    Returns {id, model, text, refused, finish, finished, listed, unlisted, prompt_tokens, completion_tokens}. finish: the
    server's finish reason; listed: see `listing`; unlisted: why it is None. Token counts are None if the server reports
    none. Raises Malformed for text that is not JSON, NoCompletion for JSON without a message.
    """
    try:
        content = json.loads(text)
    except ValueError as fault:
        raise Malformed(f"{type(fault).__name__}: {fault}; the response starts with {text[:80]!r}") from None
    try:
        first = content["choices"][0]
        message, finish = first["message"], first.get("finish_reason")
        written, refusal = text_of(message.get("content")), text_of(message.get("refusal"))
    except (KeyError, IndexError, TypeError, AttributeError) as fault:
        raise NoCompletion(f"{type(fault).__name__}: {fault}; the response starts with {text[:80]!r}") from None
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
    """The text of a message's content: the string, or its text parts joined, without thoughts and other parts."""
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
    """(positions, None) from a choice's `logprobs`, or (None, what it contains instead).

    positions: per token of the answer {token, logprob, top: [[token, logprob], …]}, in nats; a log-probability of None
    means minus infinity.
    """
    if logprobs is None:
        return None, "none"
    content = logprobs.get("content") if isinstance(logprobs, dict) else None
    if not content:
        other = sorted(key for key, value in logprobs.items() if value) if isinstance(logprobs, dict) else [logprobs]
        return None, f"an unknown format ({', '.join(map(str, other))[:80]})" if other else "none"
    try:
        places = [_place(place) for place in content]
    except (KeyError, TypeError, ValueError, AttributeError):
        return None, f"an unknown format ({json.dumps(content)[:80]})"
    if not any(place["top"] for place in places):
        return None, "only the tokens of the answer itself"
    for place in places:
        mass = math.fsum(math.exp(logprob) for _, logprob in place["top"] if logprob is not None)
        if mass > 1 + EXCESS:
            return None, f"numbers that are not log-probabilities (their exponentials sum to {mass:.2f})"
    return places, None


def spelled(places, text):
    """(positions with tokens as text, None), or (None, what is wrong) if the chosen tokens are not the beginning of the text.

    Some servers list tokens in the vocabulary's spelling ("Ġnurse", "▁nurse"), others the tokens of a thought that is not
    part of the text, or token ids.
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
    return None, f"tokens that do not match the start of its answer ({places[0]['token'][:20]!r}, answer {text[:20]!r})"


def _from_vocabulary(token):
    """A token's text from its name in a vocabulary of bytes (GPT-2) or of pieces (SentencePiece)."""
    return token.replace("Ġ", " ").replace("Ċ", "\n").replace("▁", " ")


def _place(place):
    token, logprob = _token(place["token"]), _logprob(place["logprob"])
    top = [[_token(entry["token"]), _logprob(entry["logprob"])] for entry in place.get("top_logprobs") or []]
    # some servers give the chosen token's log-probability only in the listing
    return {"token": token, "logprob": dict(top).get(token) if logprob is None else logprob, "top": top}


def _token(token):
    if not isinstance(token, str):
        raise TypeError(token)
    return token


def _logprob(value):
    """A log-probability in nats; None for minus infinity in any notation."""
    number = -math.inf if value is None else float(value)
    if number > 700:
        raise ValueError(value)
    return number if number > IMPOSSIBLE else None


def _count(value):
    return int(value) if isinstance(value, int | float) and value > 0 else None


def true_status(text, chat):
    """The status that a response with status 200 should have had, or None if 200 is right.

    An error in the body has the status of its code, or 502 without one. chat: whether a chat completion was requested, an
    object with choices. A body that begins like one may be a billed answer that was partly lost, so it is left to `read`.
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
        return None  # an object with an error of its own, such as a fine-tuning job
    for place in (error, content):
        for key in ("code", "status", "status_code", "type"):
            value = place.get(key) if isinstance(place, dict) else None
            if str(value).isdigit() and 400 <= int(value) < 600:
                return int(value)
            if str(value).lower() in STATUSES:
                return STATUSES[str(value).lower()]
    return 502


def words(text):
    """The message of an error response, wherever the server puts it."""
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
    messages = [error.get(key) for key in ("message", "detail", "msg", "error")]
    metadata = error.get("metadata")
    if isinstance(metadata, dict):
        messages.append(metadata.get("raw"))  # a gateway's copy of the message of the server behind it
    return "; ".join(part if isinstance(part, str) else json.dumps(part) for part in messages if part) or json.dumps(
        error
    )
