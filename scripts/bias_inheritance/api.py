"""A model behind an OpenAI-compatible server: asked with patience, within its limits and the budget, and never twice.

What all jobs of a study share lies in `.work/STUDY/api/`, outside what a change of code makes anew:
- `terms.json`: the budget, and each model's key variable, prices and limits; written when a run starts (costs.py);
- `account.json`: dollars spent or reserved, and how much each model's limits leave for now; changed under a file lock;
- `answers/…/OUTPUT.jsonl`: every answer, under the digest of server, request and seed, as soon as it is here.

The key is read from the environment when the first request is sent and is kept nowhere; what a server says goes
through `Server.without_key`.
"""

import fcntl
import json
import os
import random
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from bias_inheritance import answers, files, provenance
from bias_inheritance.errors import UserError
from bias_inheritance.seeds import record_seed

TERMS = "terms.json"
FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0  # seconds between two tries of one request: doubled each time, with jitter
TRIES = 12  # of one request, while others are answered
BURST = 5.0  # seconds' worth of a minute's limit that may be used at once
CHOICE_TOKENS = 32  # ASSUME: longest answer that is read for an option, where the item names no other length
LISTED = 20  # likeliest tokens asked for at each place of an answer; the most that OpenAI gives
TEMPLATE_TOKENS = 64  # what a server's chat template adds to a request, at most
REFUSED = {"content_filter", "content_policy_violation", "invalid_prompt"}  # error codes that judge the prompt


class Malformed(Exception):
    """A server's answer that cannot be read, though its status says that all is well."""


class Refused(UserError):
    """The server refuses a request for good, and has done nothing for it."""


class Account:
    """What the jobs of a study may still spend and send, in one small file that all of them change under a lock."""

    def __init__(self, folder, terms, model):
        self.path, self.model = folder / "account.json", model
        self.budget, self.limits = terms["max_cost_usd"], terms["models"][model]["limits"]

    @contextmanager
    def _open(self):
        """Yield the account's content for change; it is written back unless the block raises."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path.with_suffix(".lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            content = files.read_json(self.path) if self.path.exists() else {"usd": 0.0, "jobs": {}, "left": {}}
            yield content
            files.write_json(self.path, content)

    def admit(self, tokens, most):
        """Reserve `most` dollars and count one request of `tokens` against the limits; seconds to wait first, or 0.

        A limit may be overdrawn by one request, so that a request larger than the burst is sent too. Raises UserError
        where the budget would be passed.
        """
        with self._open() as content:
            left = content["left"].setdefault(self.model, {"at": time.time(), "requests": 1.0, "tokens": 1.0})
            elapsed, left["at"] = max(0.0, time.time() - left["at"]), time.time()
            wait = 0.0
            for unit in ("requests", "tokens"):
                rate = (self.limits[f"{unit}_per_minute"] or float("inf")) / 60
                left[unit] = min(max(1.0, BURST * rate), left[unit] + elapsed * rate) if rate < float("inf") else 1.0
                if left[unit] <= 0:
                    wait = max(wait, -left[unit] / rate + 0.5 / rate)
            if not wait:
                self._check(content, most)
                left["requests"] -= 1
                left["tokens"] -= tokens
                content["usd"] += most
            return wait

    def settle(self, change):
        """Correct the sum by `change` dollars: what a request cost, less what was reserved for it."""
        with self._open() as content:
            content["usd"] += change

    def book(self, job, usd, checked):
        """Let `usd` dollars stand in the account under the name `job`, instead of what stood there before.

        job: a cell, for what is reserved before its fine-tuning job is created, or the id of a job that has ended.
        checked: whether the budget may refuse it, as before a job is created.
        """
        with self._open() as content:
            change = usd - content["jobs"].get(job, 0.0)
            if checked:
                self._check(content, change)
            content["usd"] += change
            content["jobs"][job] = usd

    def _check(self, content, most):
        if most > 0 and content["usd"] + most > self.budget:
            raise UserError(
                f"budget: {content['usd']:.4f} of {self.budget} US dollars are spent or reserved, and what comes next may cost {most:.4f}; raise max_cost_usd and run the same command again (no answer is paid for twice)"
            )


class Server:
    """One model, or the tuned model of one cell, as one job uses it.

    card: the model's card; adapter: nothing, or the cell's adapter folder with the tuned model's id; work: the job's
    own folder in `.work/STUDY/STEP/`; output: what the job writes, which names its journal of answers.
    """

    def __init__(self, card, adapter, model, work, output):
        self.source, self.settings, self.system = card["spec"]["source"], model["generation"], model["system"]
        self.id = files.read_json(adapter[0] / "tuned.json")["model"] if adapter else self.source["model"]
        folder = Path(work).parents[1] / "api"
        self.terms = _terms(folder, model["name"])
        self.service = self.terms["models"][model["name"]]
        self.account = Account(folder, self.terms, model["name"])
        kind = "tuned_" if adapter else ""
        self.price = {side: self.service["price"][kind + side] for side in ("input", "output")}
        self.url = base_url(self.source)
        relative = Path(*Path(output).parts[1:]) if Path(output).is_absolute() else Path(output)
        self.journal = files.Journal(folder / "answers" / relative.with_suffix(".jsonl"))
        self.answered = {row["key"]: row for row in self.journal.rows}
        self.used = {}
        self.lock, self.stopped = threading.Lock(), threading.Event()
        self.pause_until, self.silent_since = 0.0, None

    # ---- what steps ask ----

    def write(self, prompts, seeds):
        """One text per prompt: a list of {text, tokens, finished, refused}."""
        options = {key: self.settings[key] for key in ("temperature", "top_p") if key in self.settings}
        bodies = [
            self._body(prompt, seed, self.settings["max_new_tokens"], **options)
            for prompt, seed in zip(prompts, seeds, strict=True)
        ]
        return [
            {
                "text": row["text"],
                "tokens": row["completion_tokens"],
                "finished": row["finished"],
                "refused": row["refused"],
            }
            for row in self.ask(bodies)
        ]

    def answer(self, rows, advance):
        """{logprobs, text, finished} per item: options by the listed log-probabilities where the server gives them, else text."""
        bodies = []
        for row in rows:
            listing = self._lists(row)
            most = row.get("max_new_tokens", CHOICE_TOKENS)
            extra = {"logprobs": True, "top_logprobs": LISTED} if listing else {}
            # greedy where the task names no temperature: what is measured is the model, not the luck of sampling
            extra["temperature"] = row.get("temperature", 0)
            bodies.append(self._body(row["prompt"], record_seed("answer", row["item"]), most, **extra))
        found = []
        for row, answer in zip(rows, self.ask(bodies, advance), strict=True):
            logprobs = answers.listed_logprobs(answer["listed"] or [], row["options"]) if self._lists(row) else None
            ended = None if self._lists(row) else answer["finished"]
            found.append({"logprobs": logprobs, "text": answer["text"], "finished": ended})
        return found

    def _lists(self, row):
        """Whether an item is scored by a listing of likely tokens."""
        return self.source["logprobs"] and bool(row.get("options")) and answers.listable(row["options"])

    def spent(self):
        """What this job's answers took, for its record: requests, their ids, tokens, dollars."""
        rows = list(self.used.values())
        return {
            "base_url": self.url,
            "model": self.id,
            "requests": len(rows),
            "request_ids": [row["request_id"] for row in rows],
            "prompt_tokens": sum(row["prompt_tokens"] for row in rows),
            "completion_tokens": sum(row["completion_tokens"] for row in rows),
            "cost_usd": sum(row["cost_usd"] for row in rows),
        }

    # ---- asking ----

    def _body(self, prompt, seed, most, **options):
        opening = [{"role": "system", "content": self.system}] if self.system is not None else []
        return {
            "model": self.id,
            "messages": [*opening, {"role": "user", "content": prompt}],
            "max_tokens": most,
            "seed": seed % 2**31,
            **options,
        }

    def ask(self, bodies, advance=None):
        """The answers to chat requests, in their order; those in the journal are not asked for again."""
        keys = [provenance.digest({"url": self.url, "body": body}) for body in bodies]
        todo = {key: body for key, body in zip(keys, bodies, strict=True) if key not in self.answered}
        if advance:
            advance(len(keys) - len(todo))
        if todo:
            self.connection()  # a missing key is told before anything is sent
            with ThreadPoolExecutor(max_workers=self.service["limits"]["concurrency"]) as threads:
                running = [threads.submit(self._ask, key, body) for key, body in todo.items()]
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
        self.used |= {key: self.answered[key] for key in keys}
        return [self.answered[key] for key in keys]

    def _ask(self, key, body):
        prompt = sum(len(message["content"].encode()) for message in body["messages"])
        # no tokeniser makes more tokens than bytes; the limits' count need only be about right
        most = self._cost(prompt + TEMPLATE_TOKENS, body["max_tokens"])
        tokens = prompt // 4 + body["max_tokens"]

        def once():
            while wait := self.account.admit(tokens, most):
                self._sleep(wait)
            try:
                response = self.connection().chat.completions.with_raw_response.create(**body)
            except _openai().APIStatusError as fault:
                self.account.settle(-most)  # ASSUME: an error status costs nothing
                if _code(fault) not in REFUSED:
                    raise
                return {**NOTHING, "refused": True, "request_id": fault.request_id}
            # an answer that was lost on its way or cannot be read may have cost all that was reserved, and stays so
            row = self._read(response, prompt)
            self.account.settle(row["cost_usd"] - most)
            return row

        row = {"key": key, **self.patiently(once)}
        with self.lock:
            self.journal.append([row])
            self.answered[key] = row

    def _read(self, response, prompt_bytes):
        """The parts of a chat completion that are kept. Raises Malformed where they are not there."""
        try:
            content = json.loads(self.without_key(response.text))
            first, usage = content["choices"][0], content.get("usage") or {}
            message, finish = first["message"], first["finish_reason"]
            text = message.get("refusal") or message.get("content") or ""
            listing = (first.get("logprobs") or {}).get("content")
            listed = listing and [
                {
                    "token": place["token"],
                    "logprob": place["logprob"],
                    "top": [[top["token"], top["logprob"]] for top in place["top_logprobs"]],
                }
                for place in listing
            ]
            # a server that counts no tokens is taken to have used one per four bytes
            asked = int(usage.get("prompt_tokens") or prompt_bytes // 4)
            wrote = int(usage.get("completion_tokens") or len(text.encode()) // 4)
            return {
                "request_id": response.headers.get("x-request-id") or content.get("id"),
                "text": text.strip(),
                "refused": bool(message.get("refusal")) or finish == "content_filter",
                "finished": finish == "stop",
                "prompt_tokens": asked,
                "completion_tokens": wrote,
                "cost_usd": self._cost(asked, wrote),
                "listed": listed,
            }
        except (ValueError, KeyError, IndexError, TypeError, AttributeError) as fault:
            raise Malformed(type(fault).__name__) from None

    def _cost(self, asked, wrote):
        return (asked * self.price["input"] + wrote * self.price["output"]) / 1e6

    def patiently(self, once):
        """`once()`, tried again while the server is busy, failing or out of reach; what it returns.

        Raises Refused where the server refuses for good, and UserError where it has answered nothing for the service's
        `patience` or has failed one request TRIES times.
        """
        openai = _openai()
        tries = 0
        while True:
            tries += 1
            self._sleep(self.pause_until - time.monotonic())
            asked_to_wait = None
            try:
                result = once()
                self.silent_since = None
                return result
            except openai.APIStatusError as fault:
                said = f"status {fault.status_code}: {self.told(fault.message)}"
                if fault.status_code < 500 and fault.status_code not in (408, 409, 429):
                    raise Refused(f"{self.where()} refuses: {said}{_hint(fault, self.service)}") from None
                if _code(fault) == "insufficient_quota":
                    raise Refused(
                        f"{self.where()} has no credit left ({said}); top it up and run the same command again"
                    ) from None
                asked_to_wait = _retry_after(fault.response.headers)
            except openai.APIConnectionError as fault:
                said = f"{type(fault).__name__}: {self.told(str(fault.__cause__ or fault))}"
            except (Malformed, json.JSONDecodeError, UnicodeDecodeError) as fault:
                said = f"an answer that cannot be read ({type(fault).__name__})"
            patience = self.service["patience"]
            self.silent_since = self.silent_since or time.monotonic()
            silent = time.monotonic() - self.silent_since
            if silent > patience or (asked_to_wait or 0) > patience or tries == TRIES:
                state = (
                    f"asks to wait {asked_to_wait:.0f} s"
                    if (asked_to_wait or 0) > patience
                    else f"failed one request {tries} times"
                    if tries == TRIES
                    else f"has answered nothing for {silent:.0f} s"
                )
                raise UserError(
                    f"{self.where()} {state} (last: {said}); all answers so far are kept: run the same command again later"
                )
            if asked_to_wait is None:
                self._sleep(min(LONGEST_WAIT, FIRST_WAIT * 2 ** (tries - 1)) * random.uniform(0.5, 1.5))
            else:
                # the whole job waits, not this request alone; the jitter keeps its threads from returning as one
                self.pause_until = max(self.pause_until, time.monotonic() + asked_to_wait)
                self._sleep(FIRST_WAIT * random.random())

    def _sleep(self, seconds):
        if self.stopped.wait(max(0.0, seconds)):
            raise UserError(f"{self.where()}: stopped")

    # ---- the connection ----

    def connection(self):
        """The `openai` client, made when it is first needed; its own retries are off, since each would cost."""
        with self.lock:
            if not hasattr(self, "client"):
                self.client = _openai().OpenAI(
                    # never the library's own default, which would send OpenAI's key to whoever is asked
                    api_key=key_of(self.service) or "none",
                    base_url=base_url(self.source, private=True),
                    timeout=self.service["timeout"],
                    max_retries=0,
                )
        return self.client

    def where(self):
        return f"{self.source['api']} server at {self.url}"

    def without_key(self, text):
        key = os.environ.get(self.service["key"] or "")
        return text.replace(key, "[key]") if key else text

    def told(self, text):
        """A server's message in one short line, without the key and without what looks like a part of one."""
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


def _openai():
    import openai

    return openai


def _code(fault):
    return fault.code or (fault.body.get("code") if isinstance(fault.body, dict) else None)


def _terms(folder, name):
    path = folder / TERMS
    if not path.exists() or name not in files.read_json(path)["models"]:
        raise UserError(f"{path}: holds no terms for {name}; run this step through snakemake, which writes them")
    return files.read_json(path)


def card(name, source):
    """The card of a model behind a server: what its answers depend on, and no files."""
    spec = {"source": {**source, "base_url": base_url(source)}}
    return {"model": name, "form": "api", "revision": source["model"], "spec": spec, "files": {}}


def key_of(service):
    """The key from the environment variable that the model's file names, or None where the server needs none."""
    if service["key"] is None:
        return None
    if not os.environ.get(service["key"]):
        raise UserError(f"the environment variable {service['key']} is not set; it holds the key of the model's server")
    return os.environ[service["key"]]


def base_url(source, private=False):
    """The server's address: the model file's, else OPENAI_BASE_URL, else OpenAI's; user and password only if `private`."""
    url = source["base_url"] or os.environ.get("OPENAI_BASE_URL") or "https://api.openai.com/v1"
    if private:
        return url
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query=""))


def _retry_after(headers):
    """Seconds that a server asks to wait (Retry-After in seconds or as a date, retry-after-ms), or None."""
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


def _hint(fault, service):
    return {
        401: f"; check the key in {service['key']}",
        403: f"; check what the key in {service['key']} may use",
        404: "; check the model's id and base_url in its catalog file",
    }.get(fault.status_code, "")
