"""Budget and rate limits shared by the jobs of a study: `terms.json` and `account.json` in `.work/STUDY/api/`."""

import fcntl
import time
from contextlib import contextmanager

from bias_inheritance.plumbing import files
from bias_inheritance.plumbing.errors import UserError

TERMS = "terms.json"
BURST = 5.0  # seconds' worth of a minute's limit that may be used at once


def read_terms(folder, name):
    """The study's terms {max_cost_usd, models: {name: service}}. Raises UserError if they lack the model `name`."""
    path = folder / TERMS
    if not path.exists() or name not in files.read_json(path)["models"]:
        raise UserError(f"{path}: has no terms for {name}; run this step with snakemake, which writes them")
    return files.read_json(path)


class Account:
    """Dollars spent or reserved, and the remaining rate limits of each model, in a small file that is changed under a lock."""

    def __init__(self, folder, terms, model):
        self.path, self.model = folder / "account.json", model
        self.budget, self.limits = terms["max_cost_usd"], terms["models"][model]["limits"]

    @contextmanager
    def _open(self):
        """Yield the account's content for modification; it is written back unless the block raises."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path.with_suffix(".lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            content = files.read_json(self.path) if self.path.exists() else {"usd": 0.0, "jobs": {}, "left": {}}
            yield content
            files.write_json(self.path, content)

    def admit(self, tokens, most):
        """Reserve `most` dollars and count one request of `tokens` against the limits; seconds to wait first, or 0.

        A limit may be overdrawn by one request, so that requests larger than the burst can be sent. Raises UserError if the
        budget would be exceeded.
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
        """Correct the sum by `change` dollars: the cost of a request minus its reservation."""
        with self._open() as content:
            content["usd"] += change

    def book(self, job, usd, checked):
        """Set the dollars of `job` in the account to `usd`, replacing its previous entry.

        job: a cell, for the reservation before its fine-tuning job is created, or the id of a finished job.
        checked: whether to raise UserError if the budget would be exceeded, as before a job is created.
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
                f"budget: {content['usd']:.4f} of {self.budget} US dollars are spent or reserved, and the next request or job may cost {most:.4f}; raise max_cost_usd and run the same command again (no answer is paid for twice)"
            )
