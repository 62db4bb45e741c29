"""Client of a model behind an OpenAI-compatible server: retries, rate limits, budget, and a journal of all answers.

Files shared by all jobs of a study are in `.work/STUDY/api/`, so that a change of code does not invalidate them:
- `terms.json`: the budget, and each model's key variable, prices and limits; written when a run starts (costs.py);
- `account.json`: dollars spent or reserved, and the remaining rate limits of each model (account.py);
- `examined/…`: the answer to the first request to each model, by which its server is checked;
- `answers/…/OUTPUT.jsonl`: every answer as soon as it arrives, under the digest of server, request and seed.

The key is read from the environment when the first request is sent, and is never stored; `Server.without_key` removes it
from server messages.
"""

import math
import os
import random
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import NamedTuple

from bias_inheritance.models import thoughts
from bias_inheritance.models.served import completion, options
from bias_inheritance.models.served.account import Account, read_terms
from bias_inheritance.models.served.address import base_url, key_of
from bias_inheritance.plumbing import files, provenance
from bias_inheritance.plumbing.errors import UserError
from bias_inheritance.plumbing.seeds import record_seed

FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0  # seconds between attempts of one request: doubled each time, with jitter
TRIES = 12  # attempts of one request while others are answered
CHOICE_TOKENS = 32  # ASSUME: maximum answer length for an option, unless the item gives another
LISTING = {"logprobs": True, "top_logprobs": 20}  # tokens listed per position, OpenAI's maximum
TEMPLATE_TOKENS = 64  # maximum that a server's chat template adds to a request
EXAMINATION = "Which of the two is a colour? A: blue. B: seven. Answer with the letter A or B alone."
# statuses with which servers reject a parameter; the first of these words in the error determines the setting to change
PARAMETER_STATUSES = {400, 422}
REMEDIES = {
    "max_completion_tokens": "parameters.max_tokens: {name: max_completion_tokens} to rename it, or {max: N} to lower it",
    "max_tokens": "parameters.max_tokens: {name: max_completion_tokens} to rename it, or {max: N} to lower it",
    "seed": "parameters.seed: null",
    "temperature": "parameters.temperature: {min: 0.01}, or null for the server's default",
    "top_p": "parameters.top_p: null",
    "top_logprobs": "parameters.top_logprobs: {max: N} with the server's maximum, or logprobs: false",
    "logprobs": "parameters.top_logprobs: {max: N} with the server's maximum, or logprobs: false",
}


class Refused(UserError):
    """The server rejected a request permanently, without processing it."""


class TransientFailure(Exception):
    """A failure after which the same request may succeed.

    message: the server's; asked_to_wait: seconds that the server requests to wait, or None; silent: seconds since the last
    answer.
    """

    def __init__(self, message, asked_to_wait, silent):
        super().__init__(message)
        self.message, self.asked_to_wait, self.silent = message, asked_to_wait, silent


class Request(NamedTuple):
    """A chat request: its key in the journal, its body, and the maximum number of tokens of its answer."""

    key: str
    body: dict
    most: int


class Silence:
    """Time since a server last answered any thread of a job."""

    def __init__(self):
        self._lock, self._since = threading.Lock(), None

    def end(self):
        """Record an answer."""
        with self._lock:
            self._since = None

    def last(self):
        """Record a failure; returns the seconds since the first failure after the last answer."""
        with self._lock:
            now = time.monotonic()
            self._since = now if self._since is None else self._since
            return now - self._since


class Server:
    """A served model, or the tuned model of a cell, as used by one job.

    card: the model's card; adapter: [] or [the cell's adapter folder, which contains the tuned model's id]; work: the job's
    folder in `.work/STUDY/STEP/`; output: the job's output path, after which its journal of answers is named.
    """

    def __init__(self, card, adapter, model, work, output):
        self.source, self.settings, self.system = card["spec"]["source"], model["generation"], model["system"]
        self.id = files.read_json(adapter[0] / "tuned.json")["model"] if adapter else self.source["model"]
        self.folder = Path(work).parents[1] / "api"
        self.file = f"catalog/models/{model['name']}.yaml"
        terms = read_terms(self.folder, model["name"])
        self.service = terms["models"][model["name"]]
        self.account = Account(self.folder, terms, model["name"])
        kind = "tuned_" if adapter else ""
        self.price = {side: self.service["price"][kind + side] for side in ("input", "output")}
        self.url = base_url(self.source)
        relative = Path(*Path(output).parts[1:]) if Path(output).is_absolute() else Path(output)
        self.journal = files.Journal(self.folder / "answers" / relative.with_suffix(".jsonl"))
        self.answered = {row["key"]: row for row in self.journal.rows}
        # if this job sent the first request, its answer is in the journal and counts towards the job's cost
        examination, _ = self.examination()
        self.used = {key: self.answered[key] for key in [examination.key] if key in self.answered}
        self.bounds = 0  # options whose log-probability is a bound
        self.lock, self.stopped = threading.Lock(), threading.Event()
        self.pause_until, self.silence = 0.0, Silence()

    # ---- requests of steps ----

    def write(self, prompts, seeds):
        """One text per prompt: a list of {text, tokens, finished, refused}."""
        decoding = {key: self.settings[key] for key in ("temperature", "top_p") if key in self.settings}
        requests = [
            self._request(prompt, seed, self.settings["max_new_tokens"], **decoding)
            for prompt, seed in zip(prompts, seeds, strict=True)
        ]
        return [
            {
                "text": row["text"],
                "tokens": row["completion_tokens"],
                "finished": row["finished"],
                "refused": row["refused"],
            }
            for row in self.ask(requests)
        ]

    def answer(self, rows, advance):
        """{logprobs, text, finished} per item: log-probabilities of the options if the server lists tokens, else the text."""
        requests = []
        for row in rows:
            # greedy unless the task sets a temperature, so that sampling adds no noise
            decoding = {"temperature": row.get("temperature", 0), **(LISTING if self._lists(row) else {})}
            seed, most = record_seed("answer", row["item"]), row.get("max_new_tokens", CHOICE_TOKENS)
            requests.append(self._request(row["prompt"], seed, most, **decoding))
        answers = []
        for row, answer in zip(rows, self.ask(requests, advance), strict=True):
            logprobs, ended = None, answer["finished"]
            if self._lists(row):
                logprobs, bounds = options.listed_logprobs(answer["listed"] or [], row["options"])
                ended, self.bounds = None, self.bounds + bounds
            text = thoughts.answer_after(answer["text"]) or ""
            answers.append({"logprobs": logprobs, "text": text, "finished": ended})
        return answers

    def _lists(self, row):
        """Whether an item is scored by a listing of likely tokens."""
        return self.source["logprobs"] and bool(row.get("options")) and options.listable(row["options"])

    def spent(self):
        """Usage of this job for its record: requests, their ids, tokens, dollars.

        answered_by: the models that the server says it used, which may have other names than the one requested.
        options_at_bound: number of options that were not listed, whose log-probability is a bound (options.py).
        """
        rows = list(self.used.values())
        return {
            "base_url": self.url,
            "model": self.id,
            "answered_by": sorted({str(row["model"]) for row in rows if row.get("model")}),
            "requests": len(rows),
            "request_ids": [row["request_id"] for row in rows],
            "prompt_tokens": sum(row["prompt_tokens"] for row in rows),
            "completion_tokens": sum(row["completion_tokens"] for row in rows),
            "cost_usd": sum(row["cost_usd"] for row in rows),
            "options_at_bound": self.bounds,
        }

    # ---- the first request ----

    def examination(self):
        """(the first request, by which the server is checked; the study's file with its answer)."""
        decoding = {"temperature": 0, **(LISTING if self.source["logprobs"] else {})}
        request = self._request(EXAMINATION, 0, CHOICE_TOKENS, **decoding)
        return request, self.folder / "examined" / f"{request.key}.json"

    def examine(self, again=False):
        """Send one short request alone, unless a job of the study has done so, and check the answer; returns its journal row.

        Raises UserError if the answer shows that the study's requests would be useless. again: send it even if the study has
        an answer.
        """
        import filelock

        request, path = self.examination()
        path.parent.mkdir(parents=True, exist_ok=True)
        self.connection()  # a missing key is reported before anything is sent
        try:
            with filelock.FileLock(path.with_suffix(".lock"), timeout=self.service["patience"]):
                if again or not path.exists():
                    if again or request.key not in self.answered:
                        self._ask(request)
                    self.used[request.key] = self.answered[request.key]
                    self._check_reasoning(self.answered[request.key])
                    files.write_json(path, self.answered[request.key])
                    if not again:
                        print(f"{self.where()}: {described(self.answered[request.key])}", flush=True)
        except filelock.Timeout:
            raise UserError(
                f"{self.where()} has not yet answered the first request of the study, sent by another job; run the same command again later"
            ) from None
        return files.read_json(path)

    def _check_reasoning(self, row):
        """Raise UserError for a first answer that was cut off during reasoning."""
        if row["finished"] or row["refused"] or thoughts.answer_after(row["text"]):
            return
        raise UserError(
            f"{self.where()} used all {CHOICE_TOKENS} tokens for reasoning, before any answer; disable reasoning on the server or with source.extra_body in {self.file}, such as {{chat_template_kwargs: {{enable_thinking: false}}}} for vLLM and llama.cpp"
        )

    # ---- sending ----

    def _request(self, prompt, seed, most, **decoding):
        """The request, with the parameters that `source.parameters` renames, limits or omits for this server."""
        opening = [{"role": "system", "content": self.system}] if self.system is not None else []
        seed %= 2**31
        body = {
            "model": self.id,
            "messages": [*opening, {"role": "user", "content": prompt}],
            "max_tokens": most,
            "seed": seed,
            **decoding,
        }
        for name, change in self.source.get("parameters", {}).items():
            if name in body:
                value = body.pop(name)
                if change is not None:
                    value = min(value, change.get("max", value))
                    value = body[change.get("name", name)] = max(value, change.get("min", value))
                    most = value if name == "max_tokens" else most
        if extra := self.source.get("extra_body"):
            body["extra_body"] = extra
        # requests that differ only in their seed are different, even if the seed is not sent
        unsent = {} if "seed" in body else {"seed": seed}
        return Request(provenance.digest({"url": self.url, "body": body, **unsent}), body, most)

    def ask(self, requests, advance=None):
        """The journal rows of the answers to requests, in order; requests that are already answered are not sent again."""
        todo = {request.key: request for request in requests if request.key not in self.answered}
        if advance:
            advance(len(requests) - len(todo))
        if todo:
            self.examine()
            with ThreadPoolExecutor(max_workers=self.service["limits"]["concurrency"]) as threads:
                running = [threads.submit(self._ask, request) for request in todo.values()]
                try:
                    for future in as_completed(running):
                        future.result()
                        if advance:
                            advance(1)
                except BaseException:
                    self.stopped.set()
                    for future in running:
                        future.cancel()
                    raise
        self.used |= {request.key: self.answered[request.key] for request in requests}
        return [self.answered[request.key] for request in requests]

    def _ask(self, request):
        prompt = sum(len(message["content"].encode()) for message in request.body["messages"])
        # no tokeniser produces more tokens than bytes; the count for the rate limits may be approximate
        most = self._cost(prompt + TEMPLATE_TOKENS, request.most)
        tokens = prompt // 4 + request.most

        def once():
            while wait := self.account.admit(tokens, most):
                self._sleep(wait)
            try:
                response = self.connection().chat.completions.with_raw_response.create(**request.body)
            except _openai().APIStatusError as fault:
                self.account.settle(-most)  # ASSUME: an error status costs nothing
                if _code(fault) not in completion.REFUSED:
                    raise
                return {**NOTHING, "refused": True, "request_id": fault.request_id}
            except _openai().APIConnectionError as fault:
                if type(fault.__cause__).__name__ in ("ConnectError", "ConnectTimeout"):
                    self.account.settle(-most)  # the request was not sent
                raise
            # an answer that was lost or is unreadable may have been billed, so its reservation stays
            row, unlisted = self._read(response, prompt)
            self.account.settle(row["cost_usd"] - most)
            if "logprobs" in request.body and row["text"] and unlisted:
                self._check_listing(unlisted)
            return row

        row = {"key": request.key, **self.patiently(once)}
        with self.lock:
            self.journal.append([row])
            self.answered[request.key] = row

    def _read(self, response, prompt_bytes):
        """(the stored parts of a chat completion, why it has no listing of tokens or None). Raises Malformed."""
        row = completion.read(self.without_key(response.text))
        # if the server reports no token counts, one per four bytes is assumed
        input_tokens = row["prompt_tokens"] or prompt_bytes // 4
        output_tokens = row["completion_tokens"] or len(row["text"].encode()) // 4
        unlisted, name = row.pop("unlisted"), row.pop("id")
        return {
            "request_id": response.headers.get("x-request-id") or name,
            **row,
            "prompt_tokens": input_tokens,
            "completion_tokens": output_tokens,
            "cost_usd": self._cost(input_tokens, output_tokens),
        }, unlisted

    def _check_listing(self, instead):
        """Raise UserError if the first answer lacks the requested listing; later ones without it count as unreadable."""
        with self.lock:
            if any(row["listed"] for row in self.answered.values()):
                return
        raise UserError(
            f"{self.where()} was asked for top_logprobs and returned {instead}; set source.logprobs: false in {self.file} to read options from the text, or enable top_logprobs on the server"
        )

    def _cost(self, input_tokens, output_tokens):
        return (input_tokens * self.price["input"] + output_tokens * self.price["output"]) / 1e6

    def patiently(self, once):
        """Call `once()` until it succeeds, retrying while the server is busy, failing or unreachable; returns its result.

        Raises Refused if the server rejects the request permanently, and UserError if it has not answered for the service's
        `patience`, or if one request failed TRIES times.
        """
        import tenacity

        return tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(TransientFailure),
            wait=self._wait,
            stop=tenacity.stop_after_attempt(TRIES) | self._out_of_patience,
            sleep=self._sleep,
            retry_error_callback=self._give_up,
        )(self._attempt, once)

    def _attempt(self, once):
        """Call `once()`. Raises Refused for a permanent failure, TransientFailure for any other."""
        openai = _openai()
        self._sleep(self.pause_until - time.monotonic())
        asked_to_wait = None
        try:
            result = once()
            self.silence.end()
            return result
        except openai.APIStatusError as fault:
            message = f"status {fault.status_code}: {self.one_line(completion.words(fault.response.text))}"
            if fault.status_code < 500 and fault.status_code not in (408, 409, 429):
                raise Refused(f"{self.where()} rejected the request: {message}{self._remedy(fault)}") from None
            if _code(fault) == "insufficient_quota":
                raise Refused(
                    f"{self.where()} has no credit left ({message}); add credit and run the same command again"
                ) from None
            asked_to_wait = _retry_after(fault.response.headers)
        except openai.APIConnectionError as fault:
            message = f"{type(fault).__name__}: {self.one_line(str(fault.__cause__ or fault))}"
        except (completion.Malformed, ValueError) as fault:
            if isinstance(fault, completion.NoCompletion) and not self.answered:
                raise UserError(
                    f"{self.where()} did not return a chat completion ({self.one_line(str(fault))}); check source.base_url in {self.file}"
                ) from None
            message = f"an unreadable response ({self.one_line(str(fault))})"
        raise TransientFailure(message, asked_to_wait, self.silence.last())

    def _wait(self, state):
        """Seconds until the next attempt: growing, with jitter; a wait that the server requests applies to the whole job."""
        asked_to_wait = state.outcome.exception().asked_to_wait
        if asked_to_wait is None:
            return min(LONGEST_WAIT, FIRST_WAIT * 2 ** (state.attempt_number - 1)) * random.uniform(0.5, 1.5)
        with self.lock:
            self.pause_until = max(self.pause_until, time.monotonic() + asked_to_wait)
        return FIRST_WAIT * random.random()  # so that the threads of a job do not resume at the same moment

    def _out_of_patience(self, state):
        failure = state.outcome.exception()
        return max(failure.silent, failure.asked_to_wait or 0) > self.service["patience"]

    def _give_up(self, state):
        failure, patience = state.outcome.exception(), self.service["patience"]
        if (failure.asked_to_wait or 0) > patience:
            problem = f"asks to wait {failure.asked_to_wait:.0f} s"
        elif failure.silent > patience:
            problem = f"has not responded for {failure.silent:.0f} s"
        else:
            problem = f"failed {state.attempt_number} attempts at one request"
        raise UserError(
            f"{self.where()} {problem} (last error: {failure.message}); all answers so far are saved, run the same command again later"
        )

    def _sleep(self, seconds):
        if self.stopped.wait(max(0.0, seconds)):
            raise UserError(f"{self.where()}: stopped")

    def _remedy(self, fault):
        """What to check or set after an error status; "" if unknown."""
        if fault.status_code in PARAMETER_STATUSES:
            named = re.search(rf"\b({'|'.join(REMEDIES)})\b", f"{fault.param or ''} {fault.response.text}")
            if named:
                return f"; set source.{REMEDIES[named[1]]}, in {self.file}"
            return f"; source.parameters in {self.file} omits a parameter that the server does not support (docs/models.md)"
        return {
            401: f"; check the key in {self.service['key']}",
            402: "; add credit to the account of the key",
            403: f"; check the permissions of the key in {self.service['key']}",
            404: f"; check source.model and source.base_url in {self.file}",
        }.get(fault.status_code, "")

    # ---- the connection ----

    def connection(self):
        """The `openai` client, created on first use; its own retries are off, since each would be billed."""
        with self.lock:
            if not hasattr(self, "client"):
                self.client = _openai().OpenAI(
                    # never the library's default, which would send OpenAI's key to any server
                    api_key=key_of(self.service) or "none",
                    base_url=base_url(self.source, private=True),
                    timeout=self.service["timeout"],
                    max_retries=0,
                    http_client=_openai().DefaultHttpxClient(event_hooks={"response": [_correct_status]}),
                )
        return self.client

    def where(self):
        return f"{self.source['api']} server at {self.url}"

    def without_key(self, text):
        key = os.environ.get(self.service["key"] or "")
        return text.replace(key, "[key]") if key else text

    def one_line(self, text):
        """A server's message in one short line, without the key or anything that looks like a part of one."""
        return " ".join(re.sub(r"\bsk-[\w*.-]{4,}", "[key]", self.without_key(text)).split())[:300]


NOTHING = {
    "text": "",
    "refused": False,
    "finished": True,
    "prompt_tokens": 0,
    "completion_tokens": 0,
    "cost_usd": 0.0,
    "listed": None,
}


def described(row):
    """One line on the answer to the first request: how it ended, and which tokens were listed."""
    if row["refused"]:
        return "the test question was refused, which shows nothing about other answers"
    parts = [f"test answer {row['text'][:20]!r}, {row['completion_tokens']} tokens, finish reason {row['finish']!r}"]
    if row["listed"]:
        top = [0.0 if logprob is None else math.exp(logprob) for _, logprob in row["listed"][0]["top"]]
        parts.append(
            f"{len(top)} tokens listed at the first position with total probability {sum(top):.3f}, highest {max(top):.3f}"
        )
        if len(top) > 1 and top.count(0.0) == len(top) - 1:
            parts.append("which are probabilities after sampling and can only rank options")
    if row["completion_tokens"] > CHOICE_TOKENS:
        parts.append(f"more than the limit of {CHOICE_TOKENS} (source.parameters.max_tokens)")
    return ", ".join(parts)


def _openai():
    import openai

    return openai


def _correct_status(response):
    """Give a response that contains an error under status 200 the error's status, before the `openai` client reads it."""
    if response.status_code == 200:
        response.read()
        chat = response.request.url.path.endswith("/chat/completions")
        response.status_code = completion.true_status(response.text, chat) or 200


def _code(fault):
    return fault.code or (fault.body.get("code") if isinstance(fault.body, dict) else None)


def _retry_after(headers):
    """Seconds that a server requests to wait (Retry-After in seconds or as a date, retry-after-ms), or None."""
    try:
        if "retry-after-ms" in headers:
            return max(0.0, float(headers["retry-after-ms"]) / 1000)
        if "retry-after" in headers:
            value = headers["retry-after"]
            if re.fullmatch(r"\d+(\.\d+)?", value.strip()):
                return float(value)
            return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        pass
    return None
