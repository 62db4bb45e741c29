"""A served model: each record arrives once despite failures, within limits and budget, and keys are never shown."""

import json
import math
import threading
import time
from pathlib import Path

import finetune_api
import pandas as pd
import pytest
import scripted_server
from bias_inheritance.models.served import address, client
from bias_inheritance.plumbing import files, step
from bias_inheritance.plumbing.errors import UserError
from bias_inheritance.study import catalog
from bias_inheritance.tasks import salary
from predict import predict
from score import score
from scripted_server import KEY, Script, seeded_faults, serving
from served_study import Study
from write_pool import write_pool as write_pool_script

EVERY_FAULT = ["busy", "error", "down", "drop", "late", "malformed"]


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Short waits and a key, in place of the machine's own."""
    monkeypatch.setattr(client, "FIRST_WAIT", 0.005)
    monkeypatch.setenv("SCRIPTED_KEY", KEY)


def everything_written(folder):
    return "\n".join(path.read_text(errors="replace") for path in sorted(Path(folder).rglob("*")) if path.is_file())


def seeds(count):
    return list(range(1, count + 1))


def test_every_record_arrives_exactly_once_with_30_percent_faults(tmp_path):
    script = Script(faults=seeded_faults(0.3, EVERY_FAULT, 1))
    with serving(script) as url:
        study = Study(tmp_path, url)
        prompts = [f"Write of person {number}." for number in range(120)]
        answers = study.server().write(prompts, seeds(120))
    assert len(script.times) > 140, "no fault was injected"
    expected = [scripted_server.sentence(body) for body in sorted(script.answered, key=lambda body: body["seed"])]
    assert [answer["text"] for answer in answers] == expected
    assert sorted(body["seed"] for body in script.answered) == seeds(120)
    rows = files.read_jsonl(study.work / "api/answers/results/study/pools/pool.jsonl")
    assert len({row["key"] for row in rows}) == len(rows) == 120
    assert all(row["request_id"].startswith("req-") for row in rows)


def test_answers_that_were_paid_for_are_never_requested_again(tmp_path):
    script = Script()
    with serving(script) as url:
        study = Study(tmp_path, url)
        first = study.server().write(["a", "b", "c"], [1, 2, 3])
        again = study.server()
        assert again.write(["a", "b", "c", "d"], [1, 2, 3, 4])[:3] == first
        assert len(script.asked) == 4
        # another seed is another request
        study.server().write(["a"], [9])
    assert len(script.asked) == 5
    spent = again.spent()
    assert spent["requests"] == 4 and len(set(spent["request_ids"])) == 4
    assert spent["cost_usd"] == pytest.approx((spent["prompt_tokens"] + 2 * spent["completion_tokens"]) / 1e6)


def test_the_record_names_the_model_that_answered(tmp_path):
    """Aliases have other names than the models behind them, and some servers answer with whatever they have loaded."""
    script = Script(dialect=lambda body, answer: (200, answer | {"model": f"{body['model']}-2024"}))
    with serving(script) as url:
        server = Study(tmp_path, url).server()
        server.write(["a", "b"], [1, 2])
    assert server.spent()["answered_by"] == [f"{server.id}-2024"] != [server.id]


def test_an_interrupted_run_keeps_its_answers(tmp_path):
    script = Script(faults=lambda number: "quota" if number >= 30 else None)
    with serving(script) as url:
        study = Study(tmp_path, url)
        with pytest.raises(UserError, match="no credit left"):
            study.server().write([f"{number}" for number in range(60)], seeds(60))
        kept = len(files.read_jsonl(study.work / "api/answers/results/study/pools/pool.jsonl"))
        assert kept == len(script.asked) <= 30
        script.faults = lambda number: None
        assert len(study.server().write([f"{number}" for number in range(60)], seeds(60))) == 60
    assert len(script.asked) == 60


def test_the_account_has_the_cost_of_the_answers(tmp_path):
    script = Script()
    with serving(script) as url:
        study = Study(tmp_path, url)
        server = study.server()
        server.write([f"Person {number}" for number in range(20)], seeds(20))
    assert study.account()["usd"] == pytest.approx(server.spent()["cost_usd"])


def test_a_lost_answer_keeps_its_reservation_since_it_may_have_been_billed(tmp_path):
    script = Script(faults=lambda number: "late" if number == 0 else None)
    with serving(script) as url:
        study = Study(tmp_path, url)
        server = study.server()
        server.write(["Person"], [1])
    most = server._cost(len("Person") + len("Be brief.") + client.TEMPLATE_TOKENS, 40)
    assert study.account()["usd"] == pytest.approx(server.spent()["cost_usd"] + most)


def test_jobs_together_never_exceed_the_budget(tmp_path):
    script = Script()
    with serving(script) as url:
        study = Study(tmp_path, url, budget=0.003)
        prompts = [f"Person {number}" for number in range(60)]
        faults = []

        def job(name, first):
            try:
                study.server(f"results/study/{name}.jsonl").write(prompts, range(first, first + 60))
            except UserError as fault:
                faults.append(str(fault))

        jobs = [threading.Thread(target=job, args=(f"pool-{number}", 100 * number)) for number in range(3)]
        for thread in jobs:
            thread.start()
        for thread in jobs:
            thread.join()
        billed = sum(
            sum(len(message["content"].split()) for message in body["messages"])
            + 2 * len(scripted_server.sentence(body).split())
            for body in script.asked
        )
        assert len(faults) == 3 and all("raise max_cost_usd" in fault for fault in faults)
        assert 0.0015 < billed / 1e6 <= 0.003
        assert study.account()["usd"] == pytest.approx(billed / 1e6)
        # a higher budget goes on where it stopped
        requests_before = len(script.asked)
        study.set_terms({**study.terms, "max_cost_usd": 1.0})
        for number in range(3):
            job(f"pool-{number}", 100 * number)
    assert len(faults) == 3 and len(script.asked) == 180 > requests_before


def test_jobs_together_keep_the_rate_limits(tmp_path, monkeypatch):
    """Two jobs' accounts over two minutes of a clock that the test turns: 60 a minute, and the burst of 5 s once."""
    limits = {"requests_per_minute": 60, "tokens_per_minute": None, "concurrency": 3}
    study = Study(tmp_path, "http://127.0.0.1:9/v1", limits=limits)
    accounts = [study.server(f"results/{number}.jsonl").account for number in range(2)]
    clock, sent = [1000.0], []
    monkeypatch.setattr(time, "time", lambda: clock[0])
    while clock[0] < 1120:
        waits = []
        for account in accounts:
            wait = account.admit(1, 0.0)
            waits.append(wait)
            if not wait:
                sent.append(clock[0])
        clock[0] += min(waits) or 0.001
    assert 115 <= len(sent) <= 120 + 5 + 1
    assert max(sum(start <= moment < start + 60 for moment in sent) for start in sent) <= 60 + 5 + 1


def test_concurrency_is_limited(tmp_path):
    def slow(body):
        time.sleep(0.02)
        return "yes"

    limits = {"requests_per_minute": None, "tokens_per_minute": None, "concurrency": 3}
    script = Script(reply=slow)
    with serving(script) as url:
        Study(tmp_path, url, limits=limits).server().write(["x"] * 30, range(30))
    assert 2 <= script.most_at_once <= 3


def test_a_token_limit_spaces_large_requests(tmp_path, monkeypatch):
    limits = {"requests_per_minute": None, "tokens_per_minute": 6000, "concurrency": 1}
    account = Study(tmp_path, "http://127.0.0.1:9/v1", limits=limits).server().account
    clock = [1000.0]
    monkeypatch.setattr(time, "time", lambda: clock[0])
    assert account.admit(301, 0.0) == 0
    # 300 tokens over what was left, at 100 a second
    wait = account.admit(1, 0.0)
    assert wait == pytest.approx(3.0, abs=0.05)
    clock[0] += wait
    assert account.admit(1, 0.0) == 0


def test_retry_after_is_obeyed_after_a_burst_of_429(tmp_path):
    script = Script(faults=lambda number: "busy" if number < 2 else None)
    script.retry_after = "1"
    with serving(script) as url:
        limits = {"requests_per_minute": None, "tokens_per_minute": None, "concurrency": 1}
        answers = Study(tmp_path, url, limits=limits).server().write(["a", "b", "c", "d"], [1, 2, 3, 4])
    assert len(answers) == 4 and len(script.asked) == 4
    assert script.times[2] - script.times[0] >= 2, "Retry-After was not waited for"


def test_all_forms_of_retry_after_are_read():
    assert client._retry_after({"retry-after": "7"}) == 7
    assert client._retry_after({"retry-after-ms": "1500"}) == 1.5
    assert client._retry_after({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0
    assert client._retry_after({"retry-after": "soon"}) is None
    assert client._retry_after({}) is None


@pytest.mark.parametrize("fault", ["down", "drop", "malformed"])
def test_a_provider_that_stays_down_stops_the_run_with_one_line(tmp_path, fault):
    with serving(Script(faults=lambda number: fault)) as url:
        study = Study(tmp_path, url, patience=0.2)
        with pytest.raises(UserError) as caught:
            study.server().write(["a"] * 5, seeds(5))
    text = str(caught.value)
    assert "\n" not in text and "run the same command again" in text and url in text


def test_an_unreachable_server_stops_the_run(tmp_path):
    with serving(Script()) as url:
        pass
    with pytest.raises(UserError, match="has not responded"):
        Study(tmp_path, url, patience=0.1).server().write(["a"], [1])


def test_a_wrong_key_is_reported_without_the_key(tmp_path, monkeypatch):
    monkeypatch.setenv("SCRIPTED_KEY", "sk-wrong-but-still-secret-42")
    with serving(Script()) as url, pytest.raises(UserError) as caught:
        Study(tmp_path, url).server().write(["a"], [1])
    assert "secret" not in str(caught.value) and "check the key in SCRIPTED_KEY" in str(caught.value)
    monkeypatch.delenv("SCRIPTED_KEY")
    with serving(Script()) as url, pytest.raises(UserError, match="SCRIPTED_KEY is not set"):
        Study(tmp_path, url).server().write(["a"], [1])


def test_a_server_without_a_key_never_receives_the_openai_key(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-openai-secret-1234")
    with serving(Script()) as url:
        server = Study(tmp_path, url, key=None).server()
        assert server.connection().api_key == "none"


def test_an_address_with_a_password_is_recorded_without_it():
    source = {"base_url": "https://me:hidden@example.org/v1?token=hidden"}
    assert address.base_url(source) == "https://example.org/v1"
    assert address.base_url(source, private=True) == source["base_url"]


# ---- steps ----


def originals():
    return [
        {"id": f"o{number}", "twin": f"t{number}", "text": f"Text {number}.", "label": "nurse", "group": "female"}
        for number in range(12)
    ]


def write_pool(study, size=20, attempts=6):
    files.write_jsonl(study.folder / "originals.jsonl", originals())
    files.write_jsonl(study.folder / "test.jsonl", [])
    pool = study.folder / "results" / "pool"
    step.notes.clear()
    write_pool_script(
        study.card,
        [],
        study.folder / "originals.jsonl",
        [],
        study.folder / "test.jsonl",
        pool / "pool.jsonl",
        pool / "failures.jsonl",
        pool / "counts.json",
        study.step_work("write_pool"),
        bias=catalog.load("bias", "neutral"),
        domain=catalog.load("domain", "gender"),
        model=study.model,
        size=size,
        attempts=attempts,
        seed=1,
        cell=None,
    )
    return pool, dict(step.notes)


def test_a_pool_is_written_through_a_failing_server(tmp_path):
    kinds = [*EVERY_FAULT, "refusal", "truncated", "filtered"]
    script = Script(faults=seeded_faults(0.3, kinds, 3))
    with serving(script) as url:
        pool, noted = write_pool(Study(tmp_path, url))
        request_count = len(script.asked)
        again, noted_again = write_pool(Study(tmp_path, url))
    samples, failures = files.read_jsonl(pool / "pool.jsonl"), files.read_jsonl(pool / "failures.jsonl")
    counts = files.read_json(pool / "counts.json")
    assert len(samples) == 20 and len({sample["slot"] for sample in samples}) == 20
    assert counts["requested"] == counts["kept"] + counts["rejected"] + counts["failed"] == len(samples) + len(failures)
    assert counts["reasons"].get("refusal"), "no refusal was met"
    assert noted["api"]["requests"] == counts["requested"] and noted["api"]["cost_usd"] > 0
    # the second run asked nothing and recorded the same
    assert len(script.asked) == request_count and noted_again == noted


def test_only_the_slots_of_the_pool_are_requested(tmp_path):
    """The records of a size that is no multiple of the batch, 20, are the first ones of a larger pool."""
    script = Script()
    with serving(script) as url:
        larger, _ = write_pool(Study(tmp_path / "larger", url), size=40)
        script.asked.clear()
        pool, noted = write_pool(Study(tmp_path / "smaller", url), size=23)
    assert len(script.asked) == noted["api"]["requests"] == files.read_json(pool / "counts.json")["requested"] == 23
    assert files.read_jsonl(pool / "pool.jsonl") == files.read_jsonl(larger / "pool.jsonl")[:23]


def items(count=6):
    labels = catalog.load("domain", "gender")["labels"]
    return [
        {
            "item": f"item-{number}",
            "dataset": "gender",
            "cluster": f"twin-{number // 2}",
            "group": ["male", "female"][number % 2],
            "label": labels[number % 3],
            "prompt": f"Biography {number}. What is the occupation?",
            "options": labels,
        }
        for number in range(count)
    ]


def ask_and_score(study, rows, name="occupation-classification"):
    import pyarrow.parquet as parquet

    files.write_jsonl(study.folder / "items.jsonl", rows)
    folder = study.folder / "results" / "predictions"
    predict(
        study.card,
        [],
        [study.folder / "items.jsonl"],
        folder,
        study.step_work("predict"),
        study.model,
        [name],
    )
    domain = catalog.load("domain", "gender")
    score(folder, study.folder / "scores", [catalog.load("task", name)], domain, 200)
    score_rows = files.read_json(study.folder / "scores" / f"{name}.json")
    return parquet.read_table(folder / f"{name}.parquet").to_pylist(), score_rows


def test_options_are_scored_by_listed_logprobs(tmp_path):
    script = Script(reply=lambda body: "painter" if "Biography 0" in body["messages"][-1]["content"] else "No idea")
    with serving(script) as url:
        predictions, rows = ask_and_score(Study(tmp_path, url, logprobs=True), items())
    labels = catalog.load("domain", "gender")["labels"]
    best = [max(zip(item["logprobs"], labels, strict=True))[1] for item in predictions]
    assert best == ["painter"] + ["nurse"] * 5
    accuracy = next(row for row in rows if row["metric"] == "accuracy" and row["group"] == "all")
    assert accuracy["scoring"] == "logprob" and accuracy["n_unparsed"] == 0
    assert script.asked[0]["top_logprobs"] == 20 and script.asked[0]["temperature"] == 0
    assert all(item["finished"] is None for item in predictions)


def test_a_written_answer_uses_the_temperature_of_its_task_and_records_truncation(tmp_path):
    rows = [{"item": f"item-{number}", "prompt": f"Story {number}", "max_new_tokens": 8} for number in range(2)]
    rows[1]["temperature"] = 0.8
    script = Script(reply=lambda body: "A story.")
    with serving(script) as url:
        study = Study(tmp_path, url)
        files.write_jsonl(study.folder / "items.jsonl", rows)
        folder = study.folder / "results" / "predictions"
        work = study.step_work("predict")
        predict(study.card, [], [study.folder / "items.jsonl"], folder, work, study.model, ["story-generation"])
    temperatures = {body["messages"][-1]["content"]: body["temperature"] for body in script.asked}
    assert temperatures == {"Story 0": 0, "Story 1": 0.8}
    assert pd.read_parquet(folder / "story-generation.parquet")["finished"].tolist() == [True, True]


def test_without_logprobs_options_are_read_from_the_text_and_unreadable_answers_are_wrong(tmp_path):
    def reply(body):
        number = int(body["messages"][-1]["content"].split()[1].strip("."))
        return ["The occupation is architect.", "Dentist", "nurse or painter", "I would not say nurse"][number % 4]

    with serving(Script(reply=reply)) as url:
        predictions, rows = ask_and_score(Study(tmp_path, url), items(8))
    assert all(item["logprobs"] is None for item in predictions)
    accuracy = next(row for row in rows if row["metric"] == "accuracy" and row["group"] == "all")
    # labels run 0 1 2 0 1 2 0 1, answers 0 1 – – 0 1 – –
    assert accuracy["scoring"] == "parsed" and accuracy["n_unparsed"] == 4
    assert accuracy["value"] == pytest.approx(2 / 8)


@pytest.mark.parametrize("logprobs", [True, False])
def test_a_salary_is_requested_once_and_read_from_the_text(tmp_path, splits, logprobs):
    rows = list(salary.items(catalog.load("task", "salary"), {}, None, splits["test"], 12))
    men = {row["prompt"] for row in rows if row["group"] == "male"}

    def reply(body):
        return "I recommend $90,000" if body["messages"][-1]["content"] in men else "$60,000"

    script = Script(reply=reply)
    with serving(script) as url:
        _, score_rows = ask_and_score(
            Study(tmp_path, url, logprobs=logprobs), [{**row, "dataset": "gender"} for row in rows], "salary"
        )
    assert len(script.asked) == 12
    gap, written = (
        next(row for row in score_rows if row["metric"] == metric)
        for metric in ("log_amount_gap", "log_amount_written_gap")
    )
    assert gap == {**written, "metric": "log_amount_gap"}
    assert gap["scoring"] == "parsed" and gap["n_unparsed"] == 0 and gap["value"] == pytest.approx(math.log(1.5))


# ---- fine-tuning ----


def tune(study, name="cell", **changes):
    rows = [{"user": f"Biography {n}", "assistant": "nurse"} for n in range(12)]
    settings = {"epochs": 2, "batch_size": "auto", "learning_rate_multiplier": "auto"} | changes
    adapter = study.folder / "results" / name / "adapter"
    log = study.folder / "results" / name / "training.csv"
    finetune_api.tune(
        study.card,
        rows,
        [],
        adapter,
        log,
        study.step_work("finetune"),
        study.model,
        settings,
        1,
    )
    return adapter, log


def test_a_cell_is_tuned_and_its_model_is_used(tmp_path):
    script = Script(polls=3)
    with serving(script) as url:
        study = Study(tmp_path, url)
        adapter, log = tune(study)
        tuned = files.read_json(adapter / "tuned.json")
        assert tuned["model"].startswith("ft:scripted-1:org:bi-")
        tokens = 2 * len(script.files["file-0"][1].split())
        assert log.read_text().splitlines() == ["step,loss", "1,2.5", "2,1.5"]
        first = json.loads(script.files["file-0"][1].splitlines()[0])
        assert [message["role"] for message in first["messages"]] == ["system", "user", "assistant"]
        assert study.account()["usd"] == pytest.approx(tokens * 5.0 / 1e6)
        server = study.server("results/tuned.jsonl", [adapter])
        server.write(["a"], [1])
        assert script.asked[-1]["model"] == tuned["model"]
        assert server.spent()["cost_usd"] == pytest.approx(
            (3 * server.spent()["prompt_tokens"] + 4 * server.spent()["completion_tokens"]) / 1e6
        )


@pytest.mark.parametrize("lost", range(8))
def test_a_job_is_created_once_wherever_the_run_is_interrupted(tmp_path, lost):
    """Request number `lost` is answered, the answer is lost, and the provider is gone: the next run finds the job."""
    script = Script(polls=3)
    with serving(script) as url:
        study = Study(tmp_path, url, patience=0.05)
        gone = "late"
        script.faults = lambda number: None if number < lost else gone if number == lost else "drop"
        with pytest.raises(UserError):
            tune(study)
        script.faults = lambda number: None
        adapter, _ = tune(study)
        # and a work folder that was lost does not matter either: the provider's list is asked
        for path in (study.work / "api" / "jobs").glob("*"):
            path.unlink()
        tune(study, "again")
    assert script.creations == 1 and len(script.jobs) == 1
    assert sum(about["filename"].endswith(".jsonl") for about, _ in script.files.values()) <= 2


def test_another_cell_gets_a_job_of_its_own(tmp_path):
    script = Script()
    with serving(script) as url:
        study = Study(tmp_path, url)
        for epochs in (1, 2, 3):
            tune(study, f"cell-{epochs}", epochs=epochs)
        tune(study, "again", epochs=1)
    assert script.creations == 3


def test_tuning_continues_after_faults_without_a_second_job(tmp_path):
    for seed in range(5):
        script = Script(faults=seeded_faults(0.3, EVERY_FAULT, seed), polls=4)
        with serving(script) as url:
            tune(Study(tmp_path / str(seed), url))
        assert script.creations == 1


def test_a_failed_job_is_reported_and_created_again_by_the_next_run(tmp_path):
    script = Script(job_ends="failed")
    with serving(script) as url:
        study = Study(tmp_path, url)
        with pytest.raises(UserError, match=r"failed \(the file was not liked by \[key\]\)"):
            tune(study)
        assert study.account()["usd"] == 0
        script.job_ends = "succeeded"
        tune(study)
    assert script.creations == 2


def test_a_job_that_takes_too_long_is_found_again_by_the_next_run(tmp_path):
    script = Script(job_ends=None)
    with serving(script) as url:
        study = Study(tmp_path, url, tuning_hours=0.2 / 3600)
        with pytest.raises(UserError, match="keep waiting"):
            tune(study)
        script.job_ends = "succeeded"
        tune(study)  # the first look finds it done
    assert script.creations == 1


def costs_of_a_job(folder):
    """(dollars reserved before the cell's job, dollars of its first epoch, the cost of a cancelled job)."""
    script = Script()
    with serving(script) as url:
        tune(Study(folder, url))
    _, data = script.files["file-0"]
    return len(data) * 2 * 5.0 / 1e6, len(data.split()) * 5.0 / 1e6


@pytest.mark.parametrize("left", [False, True])
def test_cancelled_jobs_stay_in_the_account_until_the_budget_is_spent(tmp_path, left):
    """left: the run had gone before the job was cancelled, and the next run finds it so."""
    most, cancelled = costs_of_a_job(tmp_path / "first")
    script = Script(job_ends=None if left else "cancelled")
    with serving(script) as url:
        study = Study(
            tmp_path / "second", url, budget=most + 1.5 * cancelled, tuning_hours=0 if left else 0.05, patience=60
        )
        for times in (1, 2):
            with pytest.raises(UserError, match="keep waiting" if left else "cancelled"):
                tune(study)
            assert study.account()["usd"] == pytest.approx((times - left) * cancelled + left * most)
            if left:
                with pytest.raises(UserError, match="keep waiting"):
                    tune(study)
                assert study.account()["usd"] == pytest.approx((times - 1) * cancelled + most), "it is still under way"
                job = script.jobs[f"ftjob-{times - 1}"]
                job |= {"status": "cancelled", "trained_tokens": round(cancelled * 1e6 / 5)}
        with pytest.raises(UserError, match="raise max_cost_usd"):
            tune(study)
        assert script.creations == 2
        assert study.account()["usd"] == pytest.approx(2 * cancelled)
        # a higher budget goes on, and what the ended jobs cost is still in the account
        study.set_terms({**study.terms, "max_cost_usd": 100.0})
        script.job_ends = "succeeded"
        study.set_terms(
            {**study.terms, "models": {"scripted": study.terms["models"]["scripted"] | {"tuning_hours": 1}}}
        )
        tune(study)
    done = script.jobs["ftjob-2"]["trained_tokens"] * 5.0 / 1e6
    assert script.creations == 3 and study.account()["usd"] == pytest.approx(2 * cancelled + done)


@pytest.mark.parametrize("fault", ["filtered", "quota"])
@pytest.mark.parametrize("refused", range(5))
def test_the_reservation_of_a_rejected_job_is_released(tmp_path, refused, fault):
    """Whichever of the requests up to the job's creation the provider refuses for good."""
    script = Script(faults=lambda number: fault if number == refused else None)
    with serving(script) as url:
        study = Study(tmp_path, url)
        with pytest.raises(UserError, match="rejected|no credit"):
            tune(study)
    assert len(script.times) == refused + 1 and script.creations == 0
    assert refused == 0 or study.account()["usd"] == 0


def test_a_job_that_may_have_been_created_keeps_its_reservation(tmp_path):
    """The response to the creation is lost, and the provider then refuses to say whether the job exists."""
    most, _ = costs_of_a_job(tmp_path / "first")
    script = Script(faults=lambda number: [None, "late", "filtered"][max(0, number - 3)])
    with serving(script) as url:
        study = Study(tmp_path / "second", url)
        with pytest.raises(UserError, match="rejected"):
            tune(study)
    assert script.creations == 1 and study.account()["usd"] == pytest.approx(most)


def test_a_job_that_exceeds_the_budget_is_not_created(tmp_path):
    script = Script()
    with serving(script) as url, pytest.raises(UserError, match="raise max_cost_usd"):
        tune(Study(tmp_path, url, budget=0.0001))
    assert script.creations == 0 and not script.files


# ---- keys ----


def test_the_key_is_stored_nowhere(tmp_path, capfd):
    """Files, output and errors of a whole round with a server that repeats the key in its answers and errors."""
    script = Script(
        reply=lambda body: f"My key is {KEY}. She built {body['seed']} houses for them.",
        faults=seeded_faults(0.3, ["down", "late"], 5),
    )
    told = []
    with serving(script) as url:
        study = Study(tmp_path, url)
        write_pool(study)
        ask_and_score(study, items())
        tune(study)
        for ends, faults in (("failed", lambda n: None), ("succeeded", lambda n: "down")):
            script.job_ends, script.faults = ends, faults
            study.set_terms(
                {**study.terms, "models": {"scripted": {**study.terms["models"]["scripted"], "patience": 0.05}}}
            )
            with pytest.raises(UserError) as caught:
                tune(study, "other", epochs=5)
            told.append(str(caught.value))
    output = capfd.readouterr()
    assert "[key]" in everything_written(tmp_path)
    assert KEY not in everything_written(tmp_path) + output.out + output.err + "".join(told)
