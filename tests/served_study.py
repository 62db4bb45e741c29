"""The folders and terms of a study with one served model, without Snakemake."""

from bias_inheritance.models.served import address, client
from bias_inheritance.plumbing import files


class Study:
    """The folders and terms of a study with one served model.

    examined: whether an earlier job of the study has examined the server, so that tests see only their own requests.
    """

    def __init__(self, folder, url, budget=100.0, logprobs=False, examined=True, parameters=None, **service):
        self.folder = folder
        self.work = folder / ".work" / "study"
        source = {"api": "openai", "model": "scripted-1", "base_url": url, "logprobs": logprobs, "fine_tuning": True}
        source |= {"parameters": parameters} if parameters else {}
        price = {"input": 1.0, "output": 2.0, "tuned_input": 3.0, "tuned_output": 4.0, "training": 5.0}
        limits = {"requests_per_minute": None, "tokens_per_minute": None, "concurrency": 4}
        terms = {"key": "SCRIPTED_KEY", "price": price, "limits": limits, "timeout": 30, "patience": 60}
        terms |= {"poll_seconds": 0.01, "tuning_hours": 0.05, **service}
        self.set_terms({"max_cost_usd": budget, "models": {"scripted": terms}})
        self.card, self.source = folder / "card.json", source
        self.set_source()
        generation = {"batch_size": 20, "max_new_tokens": 40, "temperature": 0.8}
        self.model = {"name": "scripted", "system": "Be brief.", "generation": generation}
        if examined:
            _, path = self.server("results/study/examined.jsonl").examination()
            files.write_json(path, {})

    def set_source(self, **changes):
        files.write_json(self.card, address.card("scripted", self.source | changes))

    def set_terms(self, terms):
        self.terms = terms
        files.write_json(self.work / "api" / "terms.json", terms)

    def step_work(self, step):
        folder = self.work / step / "0123"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def server(self, output="results/study/pools/pool.jsonl", adapter=()):
        return client.Server(
            files.read_json(self.card), list(adapter), self.model, self.step_work("write_pool"), output
        )

    def account(self):
        return files.read_json(self.work / "api" / "account.json")
