"""A real OpenAI-compatible server with the embedded model (`transformers serve`) writes a pool and answers a task.

The server's own packages (fastapi, uvicorn) go into a small environment of their own under `.work/`, beside the
project's, which it sees through a path file. Where they cannot be had the tests skip, and say so.
"""

import contextlib
import math
import os
import socket
import subprocess
import sys
import time
import urllib.request

import pytest
from bias_inheritance import catalog, files, models, step
from bias_inheritance.errors import UserError
from bias_inheritance.provenance import ROOT
from bias_inheritance.served import address, client
from predict import predict
from prepare_model import prepare_model
from score import score
from write_pool import write_pool

ENVIRONMENT = ROOT / ".work" / "test-server"
START_SECONDS = 240


def server_python():
    """The Python that can run `transformers serve`; skips where its two packages cannot be had."""
    python = ENVIRONMENT / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(ENVIRONMENT)], check=True)
        site = next((ENVIRONMENT / "lib").glob("python*/site-packages"))
        own = [path for path in sys.path if path.endswith("site-packages")]
        (site / "project.pth").write_text("\n".join(own) + "\n")
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "fastapi", "uvicorn"]
    pip = subprocess.run(command, capture_output=True, text=True, timeout=300)
    if pip.returncode:
        pytest.skip(f"fastapi and uvicorn cannot be installed: {(pip.stderr.strip().splitlines() or ['?'])[-1]}")
    return python


# a server is installed for it, which takes minutes
pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The embedded model as an ordinary checkpoint that samples when asked; skips where it cannot be fetched."""
    spec = catalog.load("model", "smollm2-135m-instruct")
    base = models.STORE / "smollm2-135m-instruct" / "dequantised"
    if not base.exists():
        form = {"cpu": "dequantised", "cuda": "dequantised"}
        card = tmp_path_factory.mktemp("card") / "card.json"
        try:
            prepare_model(card, "smollm2-135m-instruct", {"source": spec["source"], "form": form}, None)
        except UserError as fault:
            pytest.skip(f"the embedded model cannot be had: {fault}")
    served = tmp_path_factory.mktemp("served")
    for path in base.iterdir():
        (served / path.name).symlink_to(path)
    # this server samples only where the checkpoint says so, whatever temperature is asked for
    settings = files.read_json(base / "generation_config.json")
    (served / "generation_config.json").unlink()
    files.write_json(served / "generation_config.json", {**settings, "do_sample": True})
    return served


@pytest.fixture(scope="module")
def url(folder):
    """The address of a running server, stopped at the end."""
    python = server_python()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = ENVIRONMENT / "server.log"
    command = [str(python), "-m", "transformers.cli.transformers", "serve", str(folder), "--host", "127.0.0.1"]
    with open(log, "wb") as output:
        server = subprocess.Popen(
            [*command, "--port", str(port)],
            stdout=output,
            stderr=output,
            env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        )
    try:
        deadline = time.time() + START_SECONDS
        while True:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2)
                break
            if server.poll() is not None or time.time() > deadline:
                pytest.skip(f"transformers serve did not start: {log.read_text(errors='replace')[-300:]}")
            time.sleep(0.5)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.kill()
        server.wait()


@pytest.fixture
def served(tmp_path, url, folder):
    """(card, model parameters, step's work folder) of the catalog's local server, at the running one's address."""
    content = catalog.load("model", "local-server")
    source = {**content["source"], "base_url": url, "model": str(folder)}
    files.write_json(tmp_path / "card.json", address.card("local-server", source))
    work = tmp_path / ".work" / "study" / "step" / "0123"
    work.mkdir(parents=True)
    # one at a time: this server seeds one random stream for all requests
    service = {**content["service"], "limits": {**content["service"]["limits"], "concurrency": 1}}
    terms = {"max_cost_usd": 0, "models": {"local-server": service}}
    files.write_json(tmp_path / ".work" / "study" / "api" / "terms.json", terms)
    step._extra.clear()
    generation = {**content["generation"], "batch_size": 4, "max_new_tokens": 40}
    return tmp_path / "card.json", {"name": "local-server", "system": content["system"], "generation": generation}, work


def test_it_writes_a_pool(served, tmp_path):
    card, model, work = served
    files.write_jsonl(tmp_path / "originals.jsonl", [])
    pool = [tmp_path / name for name in ("pool.jsonl", "failures.jsonl", "counts.json")]
    bias, domain = catalog.load("bias", "neutral"), catalog.load("domain", "gender")
    write_pool(
        card,
        [],
        tmp_path / "originals.jsonl",
        [],
        tmp_path / "originals.jsonl",
        *pool,
        work,
        bias,
        domain,
        model,
        size=4,
        attempts=4,
        seed=1,
        cell=None,
    )
    samples, counts = files.read_jsonl(pool[0]), files.read_json(pool[2])
    assert counts["asked"] == counts["kept"] + counts["rejected"] + counts["failed"]
    assert counts["kept"] >= 3 and counts["mean_words"] > 15
    assert len({sample["text"] for sample in samples}) == len(samples)
    spent = step._extra["api"]
    assert spent["requests"] == counts["asked"] and spent["cost_usd"] == 0
    assert spent["completion_tokens"] == counts["tokens"] > 0 and all(spent["request_ids"])


def test_it_answers_a_task(served, tmp_path):
    card, model, work = served
    domain = catalog.load("domain", "gender")
    text = "{} writes programs for a bank and reviews the code of two colleagues."
    rows = [
        {
            "item": name,
            "dataset": "gender",
            "cluster": "one",
            "group": group,
            "label": "software engineer",
            "prompt": domain["prompt"].format(text=text.format(name)),
            "options": domain["labels"],
        }
        for name, group in (("Anna", "female"), ("Peter", "male"))
    ]
    rows += [{**row, "item": f"{row['item']}-nurse", "cluster": "two", "label": "nurse"} for row in rows]
    files.write_jsonl(tmp_path / "items.jsonl", rows)
    predict(card, [], [tmp_path / "items.jsonl"], tmp_path / "predictions", work, model, ["occupation-classification"])
    score(
        tmp_path / "predictions", tmp_path / "scores", [catalog.load("task", "occupation-classification")], domain, 100
    )
    scores = files.read_json(tmp_path / "scores" / "occupation-classification.json")
    accuracy = next(row for row in scores if row["metric"] == "accuracy" and row["group"] == "all")
    assert accuracy["scoring"] == "parsed" and accuracy["n"] == 4 and 0 <= accuracy["n_unparsed"] <= 4
    assert not math.isnan(accuracy["value"])
    assert step._extra["api"]["prompt_tokens"] > 4 * 20


def test_the_same_seed_gives_the_same_text_and_another_another(served, tmp_path):
    card, model, work = served
    texts, model["generation"] = [], {**model["generation"], "max_new_tokens": 16}
    for name in ("first", "second"):
        server = client.Server(files.read_json(card), [], model, work, tmp_path / f"{name}.jsonl")
        texts.append([answer["text"] for answer in server.write(["Name a colour and a fruit."] * 2, [11, 12])])
    assert all(texts[0]) and texts[0][0] == texts[1][0]
    assert texts[0][0] != texts[0][1]
