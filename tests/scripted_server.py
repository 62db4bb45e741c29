"""A server on 127.0.0.1 that speaks OpenAI's protocol from a script and misbehaves as told. It holds no model.

Its answers are made from the request alone, so that a test knows what is right; `faults` says for each request what goes
wrong instead: 'busy' (429 with Retry-After), 'quota' (429, no credit), 'error' (500), 'down' (503), 'drop' (the
connection breaks), 'late' (it breaks after the answer was made), 'malformed' (200 with half of its JSON), 'refusal',
'truncated', 'filtered' (400 for the prompt's content).
"""

import hashlib
import json
import random
import re
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

KEY = "sk-scripted-0123456789abcdef-secret"


class Script:
    """What the server does, and all that it has seen.

    reply: function (request body) → text of the answer; dialect: function (request body, answer) → (status, answer), in
    which a server's own ways are put on; faults: function (number of the request) → fault or None;
    job_ends: the status that a fine-tuning job reaches after it was looked at `polls` times (None: it never ends; 0 looks: at once).
    A cancelled job has trained its first epoch.
    """

    def __init__(self, reply=None, faults=None, job_ends="succeeded", polls=2, dialect=None):
        self.reply = reply or sentence
        self.dialect = dialect or (lambda body, answer: (200, answer))
        self.faults = faults or (lambda number: None)
        self.job_ends, self.polls, self.retry_after = job_ends, polls, "0.05"
        self.lock = threading.Lock()
        self.asked, self.answered, self.times = [], [], []
        self.files, self.jobs = {}, {}
        self.creations = 0
        self.at_once = self.most_at_once = 0


def sentence(body):
    """A sentence that differs with prompt and seed."""
    mark = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:8]
    return f"She drew the plans of {mark} houses and her clients praised her quiet, careful work."


def seeded_faults(share, kinds, seed):
    """Faults for a share of all requests, at random from `kinds`."""
    stream = random.Random(seed)
    draws = [stream.choice(kinds) if stream.random() < share else None for _ in range(100_000)]
    return lambda number: draws[number]


@contextmanager
def serving(script):
    """Yield the base URL of a server that follows `script`."""
    handler = type("Handler", (_Handler,), {"script": script})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *words):
        pass

    def do_GET(self):
        path, query = urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
        self._serve(lambda: self._get(path, query))

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self._serve(lambda: self._post(urlsplit(self.path).path, body))

    def _serve(self, make):
        script = self.script
        with script.lock:
            number = len(script.times)
            script.times.append(time.monotonic())
            script.at_once += 1
            script.most_at_once = max(script.most_at_once, script.at_once)
        try:
            self.fault = fault = script.faults(number)
            if self.headers.get("authorization") != f"Bearer {KEY}":
                self._send(401, _error(f"Incorrect API key provided: {self.headers.get('authorization')}"))
            elif fault == "busy":
                self._send(429, _error("slow down"), {"Retry-After": script.retry_after})
            elif fault == "quota":
                self._send(429, _error("no credit", "insufficient_quota"))
            elif fault in ("error", "down"):
                self._send(500 if fault == "error" else 503, _error(f"trouble with key {KEY}"))
            elif fault == "drop":
                self._break()
            elif fault == "filtered":
                self._send(400, _error("the prompt was filtered", "content_filter"))
            else:
                status, content = make()
                if fault == "late":
                    self._break()
                elif fault == "malformed":
                    text = json.dumps(content)
                    self._send(status, text[: len(text) // 2])
                else:
                    self._send(status, content)
        finally:
            with script.lock:
                script.at_once -= 1

    def _break(self):
        self.close_connection = True
        self.connection.shutdown(2)

    def _send(self, status, content, headers=None):
        text = content if isinstance(content, (str, bytes)) else json.dumps(content)
        data = text if isinstance(text, bytes) else text.encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.send_header("x-request-id", f"req-{time.monotonic_ns()}")
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    # ---- what is served ----

    def _post(self, path, body):
        if path.endswith("/chat/completions"):
            return self._complete(json.loads(body))
        if path.endswith("/files"):
            return self._upload(body)
        if path.endswith("/fine_tuning/jobs"):
            return self._create(json.loads(body))
        return 404, _error("no such path")

    def _get(self, path, query):
        script = self.script
        if path.endswith("/files"):
            return 200, {"object": "list", "data": [about for about, _ in script.files.values()], "has_more": False}
        if path.endswith("/content"):
            return 200, script.files[path.split("/")[-2]][1]
        if path.endswith("/fine_tuning/jobs"):
            return 200, self._list(query)
        if "/fine_tuning/jobs/" in path:
            return self._look(path.split("/")[-1])
        return 404, _error("no such path")

    def _complete(self, body):
        script = self.script
        text, finish, refusal = script.reply(body), "stop", None
        if self.fault == "refusal":
            text, refusal = None, "I'm sorry, but I can't help with that."
        elif self.fault == "truncated":
            text, finish = text[: len(text) // 2], "length"
        message = {"role": "assistant", "content": text, "refusal": refusal}
        choice = {"index": 0, "finish_reason": finish, "message": message}
        if body.get("logprobs") and text is not None:
            choice["logprobs"] = {"content": listing(text)}
        prompt_tokens = sum(len(message["content"].split()) for message in body["messages"])
        wrote = len((text or refusal).split())
        usage = {"prompt_tokens": prompt_tokens, "completion_tokens": wrote, "total_tokens": prompt_tokens + wrote}
        with script.lock:
            script.asked.append(body)
            if self.fault not in ("late", "malformed"):
                script.answered.append(body)
        about = {"id": "chat", "object": "chat.completion", "model": body["model"]}
        return script.dialect(body, {**about, "choices": [choice], "usage": usage})

    def _upload(self, body):
        script = self.script
        name = re.search(rb'filename="([^"]+)"', body).group(1).decode()
        start = body.index(b"\r\n\r\n", body.index(b"filename=")) + 4
        data = body[start : body.index(b"\r\n--", start)]
        with script.lock:
            about = {"id": f"file-{len(script.files)}", "bytes": len(data), "created_at": 1, "filename": name}
            about |= {"object": "file", "purpose": "fine-tune", "status": "processed"}
            script.files[about["id"]] = (about, data)
        return 200, about

    def _create(self, body):
        script = self.script
        with script.lock:
            script.creations += 1
            number = len(script.jobs)
            job = {"id": f"ftjob-{number}", "object": "fine_tuning.job", "created_at": 100 + number}
            job |= {"model": body["model"], "status": "queued", "training_file": body["training_file"]}
            job |= {"metadata": body.get("metadata"), "fine_tuned_model": None, "hyperparameters": {}}
            job |= {"organization_id": "org", "result_files": [], "seed": body["seed"]}
            job |= {"trained_tokens": None, "error": None, "asked": body, "looks": 0}
            script.jobs[job["id"]] = job
            if script.polls == 0:
                self._end(job)
        return 200, _shown(job)

    def _list(self, query):
        """Two jobs to a page, newest first; it ignores the metadata filter, as some servers do."""
        jobs = sorted(self.script.jobs.values(), key=lambda job: -job["created_at"])
        after = query.get("after", [None])[0]
        start = next((index + 1 for index, job in enumerate(jobs) if job["id"] == after), 0)
        page = jobs[start : start + 2]
        return {"object": "list", "data": [_shown(job) for job in page], "has_more": start + 2 < len(jobs)}

    def _look(self, name):
        script = self.script
        with script.lock:
            job = script.jobs[name]
            job["looks"] += 1
            if job["status"] in ("queued", "running"):
                job["status"] = "running"
                if script.job_ends and job["looks"] >= script.polls:
                    self._end(job)
        return 200, _shown(job)

    def _end(self, job):
        script, name = self.script, job["id"]
        _, data = script.files[job["training_file"]]
        job["status"] = script.job_ends
        if script.job_ends != "succeeded":
            job["error"] = {"code": "bad", "message": f"the file was not liked by {KEY}", "param": None}
            if script.job_ends == "cancelled":
                job["trained_tokens"] = len(data.split())
            return
        epochs = job["asked"]["method"]["supervised"]["hyperparameters"]["n_epochs"]
        job["fine_tuned_model"] = f"ft:{job['model']}:org:{job['asked']['suffix']}:{name}"
        job["trained_tokens"] = epochs * len(data.split())
        losses = "step,train_loss,train_accuracy\n1,2.5,0.4\n2,1.5,0.6\n"
        script.files[f"result-{name}"] = ({"id": f"result-{name}", "filename": "losses.csv", "bytes": 1}, losses)
        job["result_files"] = [f"result-{name}"]


def _shown(job):
    return {key: value for key, value in job.items() if key not in ("asked", "looks")}


def _error(message, code=None):
    return {"error": {"message": message, "type": "scripted", "param": None, "code": code}}


def listing(text):
    """Likeliest tokens of an answer: each word has probability 0.42; at the first position 'nurse' 0.35, 'dentist' 0.2."""
    places = []
    for number, word in enumerate(re.findall(r"\s*\S+", text)):
        top = [{"token": word, "logprob": -0.8675}]
        if number == 0:
            top += [{"token": "nurse", "logprob": -1.0498}, {"token": "dentist", "logprob": -1.6094}]
        places.append({"token": word, "logprob": -0.8675, "bytes": None, "top_logprobs": top})
    return places
