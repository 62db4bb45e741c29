"""Servers that claim OpenAI compatibility: each variant is parsed correctly or reported in one line, at no cost."""

import math
import threading
import time

import pytest
from bias_inheritance.models.served import client, completion
from bias_inheritance.plumbing import files
from bias_inheritance.plumbing.errors import UserError
from bias_inheritance.study import catalog
from predict import predict
from scripted_server import KEY, Script, seeded_faults, serving
from served_study import Study

LABELS = catalog.load("domain", "gender")["labels"]


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Short waits and a key, in place of the machine's own."""
    monkeypatch.setattr(client, "FIRST_WAIT", 0.005)
    monkeypatch.setenv("SCRIPTED_KEY", KEY)


ABSENT = object()


def choice(**changes):
    """A dialect in which the choice of every chat completion has `changes`, and lacks keys that are ABSENT."""

    def dialect(body, answer):
        changed = {**answer["choices"][0], **changes}
        return 200, {**answer, "choices": [{key: value for key, value in changed.items() if value is not ABSENT}]}

    return dialect


def refusal(status, text, **more):
    return status, {"error": {"message": text, "type": "invalid_request_error", "param": None, "code": None, **more}}


def ask(study, count=6):
    """The predictions of items with options, and the job's own record of its costs."""
    rows = [{"item": f"i-{number}", "prompt": f"Biography {number}.", "options": LABELS} for number in range(count)]
    server = study.server()
    return server.answer(rows, lambda count: None), server


def slow(body):
    time.sleep(0.02)
    return "nurse"


def one_line(fault):
    assert "\n" not in str(fault.value)
    return str(fault.value)


# ---- ends ----


@pytest.mark.parametrize(
    "reason, finished",
    [(word, True) for word in ("stop", "eos_token", "end_turn", "STOP", "stop_sequence", None)]
    + [(word, False) for word in ("length", "max_tokens", "LENGTH", "MAX_TOKENS")],
)
def test_only_length_and_max_tokens_mark_a_truncated_answer(tmp_path, reason, finished):
    with serving(Script(dialect=choice(finish_reason=reason))) as url:
        (answer,) = Study(tmp_path, url).server().write(["a"], [1])
    assert answer["finished"] is finished and not answer["refused"]


def test_an_answer_without_a_finish_reason_is_complete(tmp_path):
    with serving(Script(dialect=choice(finish_reason=ABSENT))) as url:
        assert Study(tmp_path, url).server().write(["a"], [1])[0]["finished"]


# ---- listings ----

PLACE = {"token": "nurse", "logprob": -0.1, "bytes": None}
LEGACY = {"tokens": ["nurse"], "token_logprobs": [-0.1], "top_logprobs": [{"nurse": -0.1}], "text_offset": [0]}
NO_LISTINGS = {
    "absent": ABSENT,
    "null": None,
    "content null": {"content": None},
    "content empty": {"content": []},
    "as of /completions": LEGACY,
    "a list": [-0.1, -0.2],
    "alternatives as a mapping": {"content": [{**PLACE, "top_logprobs": {"nurse": -0.1}}]},
    "no alternatives": {"content": [{**PLACE, "top_logprobs": []}]},
    "alternatives null": {"content": [{**PLACE, "top_logprobs": None}]},
    "numbers of tokens": {"content": [{**PLACE, "top_logprobs": [{"token": 17, "logprob": -0.1}]}]},
    "probabilities": {"content": [{**PLACE, "top_logprobs": [{"token": "a", "logprob": 0.9}]}]},
}


@pytest.mark.parametrize("examined", [False, True])
@pytest.mark.parametrize("there", NO_LISTINGS)
def test_a_missing_token_list_is_reported_at_the_first_answer(tmp_path, there, examined):
    script = Script(reply=slow, dialect=choice(logprobs=NO_LISTINGS[there]))
    with serving(script) as url:
        limits = {"requests_per_minute": None, "tokens_per_minute": None, "concurrency": 1}
        study = Study(tmp_path, url, logprobs=True, examined=examined, limits=limits)
        with pytest.raises(UserError) as fault:
            ask(study)
    assert "set source.logprobs: false in catalog/models/scripted.yaml" in one_line(fault)
    # a request that was under way when the first answer came is let finish
    assert len(script.asked) <= (2 if examined else 1)


def test_a_missing_token_list_is_reported_before_a_pool_is_paid_for(tmp_path):
    script = Script(dialect=choice(logprobs=None))
    with serving(script) as url:
        study = Study(tmp_path, url, logprobs=True, examined=False)
        with pytest.raises(UserError, match="source.logprobs: false"):
            study.server().write(["a", "b", "c"], [1, 2, 3])
        assert len(script.asked) == 1
        # as told: the text is read, and nothing is missing
        study.set_source(logprobs=False)
        assert len(study.server().write(["a", "b", "c"], [1, 2, 3])) == 3


def listing_of(*tokens):
    """A dialect whose listings have these tokens, the first with the alternative `dentist` in the same spelling."""

    def dialect(body, answer):
        places = [
            {"token": token, "logprob": -0.2, "top_logprobs": [{"token": token, "logprob": -0.2}]} for token in tokens
        ]
        places[0]["top_logprobs"].append({"token": tokens[0].replace("nurse", "dentist"), "logprob": -2.0})
        return choice(logprobs={"content": places})(body, answer)

    return dialect


@pytest.mark.parametrize("token", ["nurse", " nurse", "Ġnurse", "▁nurse"])
def test_tokens_in_the_spelling_of_the_vocabulary_are_read(tmp_path, token):
    with serving(Script(reply=lambda body: "nurse", dialect=listing_of(token, "<|im_end|>"))) as url:
        answers, _ = ask(Study(tmp_path, url, logprobs=True), 1)
    logprobs = answers[0]["logprobs"]
    assert logprobs[LABELS.index("nurse")] == pytest.approx(-0.2)
    assert logprobs[LABELS.index("dentist")] == pytest.approx(-2.0)


@pytest.mark.parametrize("tokens", [("<think>", "nurse"), ("token_id:41", "token_id:7"), ("The", " answer")])
def test_a_token_list_that_does_not_match_the_answer_is_reported_at_the_first_answer(tmp_path, tokens):
    script = Script(reply=lambda body: "nurse", dialect=listing_of(*tokens))
    with (
        serving(script) as url,
        pytest.raises(UserError, match="tokens that do not match the start of its answer") as fault,
    ):
        ask(Study(tmp_path, url, logprobs=True, examined=False))
    assert "source.logprobs: false" in one_line(fault) and len(script.asked) == 1


def test_a_later_answer_without_a_token_list_counts_as_unreadable(tmp_path):
    def dialect(body, answer):
        if "3" in body["messages"][-1]["content"]:
            answer["choices"][0]["logprobs"] = None
        return 200, answer

    with serving(Script(reply=lambda body: "painter", dialect=dialect)) as url:
        answers, _ = ask(Study(tmp_path, url, logprobs=True, examined=False))
    assert [answer["logprobs"] == [] for answer in answers] == [number == 3 for number in range(6)]


@pytest.mark.parametrize("impossible", [None, -9999, -9999.0, -1e30, "-inf", float("-inf"), float("nan")])
def test_all_notations_of_minus_infinity_are_read(tmp_path, impossible):
    top = [("nurse", -0.2), ("dentist", -2.0), ("painter", impossible), ("The", impossible)]
    top = [{"token": token, "logprob": logprob} for token, logprob in top]
    listed = choice(logprobs={"content": [{"token": "nurse", "logprob": -0.2, "top_logprobs": top}]})
    with serving(Script(reply=lambda body: "nurse", dialect=listed)) as url:
        study = Study(tmp_path, url, logprobs=True)
        answers, server = ask(study)
        again, _ = ask(study)
    bound = -2.0 - math.log(2)
    expected = {"nurse": -0.2, "dentist": -2.0}
    assert answers[0]["logprobs"] == pytest.approx([expected.get(label, bound) for label in LABELS])
    assert again == answers and server.spent()["options_at_bound"] == 6 * (len(LABELS) - 2)
    assert files.read_jsonl(server.journal.path)[0]["listed"][0]["top"][2][1] is None


def test_predictions_with_minus_infinity_are_stored_and_scored(tmp_path):
    top = [{"token": "nurse", "logprob": None}, {"token": "dentist", "logprob": -0.3}]
    listed = choice(logprobs={"content": [{"token": "dentist", "logprob": None, "top_logprobs": top}]})
    with serving(Script(reply=lambda body: "dentist", dialect=listed)) as url:
        study = Study(tmp_path, url, logprobs=True)
        rows = [{"item": "one", "prompt": "Biography.", "options": LABELS}]
        files.write_jsonl(tmp_path / "items.jsonl", rows)
        work = study.step_work("predict")
        predict(study.card, [], [tmp_path / "items.jsonl"], tmp_path / "predictions", work, study.model, ["one"])
    import pandas as pd

    logprobs = pd.read_parquet(tmp_path / "predictions" / "one.parquet")["logprobs"][0]
    assert logprobs[LABELS.index("dentist")] == pytest.approx(-0.3) and all(map(math.isfinite, logprobs))


# ---- errors under status 200 ----

ERRORS = {
    "a status as code": {"error": {"code": 401, "message": "the key has expired"}},
    "a status as text": {"error": {"code": "403", "message": "the key has expired"}, "choices": None},
    "a name as code": {"error": {"code": "invalid_api_key", "message": "the key has expired"}},
    "a name as type": {"error": {"type": "authentication_error", "message": "the key has expired"}},
    "status by name": {"error": {"code": None, "status": "PERMISSION_DENIED", "message": "the key has expired"}},
    "beside choices": {"choices": [], "error": {"code": 400, "message": "the key has expired"}},
    "inside the choice": {"choices": [{"error": {"code": 403, "message": "the key has expired"}, "message": None}]},
    "at the top": {"object": "error", "message": "the key has expired", "code": 401},
    "as detail": {"status": 403, "detail": "the key has expired"},
}


@pytest.mark.parametrize("shape", ERRORS)
def test_an_error_with_status_200_is_handled_by_its_code(tmp_path, shape):
    script = Script(dialect=lambda body, answer: (200, ERRORS[shape]))
    with serving(script) as url:
        study = Study(tmp_path, url)
        with pytest.raises(client.Refused) as fault:
            study.server().write(["a"], [1])
    assert "the key has expired" in one_line(fault) and len(script.asked) == 1
    assert study.account()["usd"] == 0


PASSING = {
    "code": {"error": {"code": 429, "message": "come back later"}},
    "name": {"error": {"code": "rate_limit_exceeded", "message": "come back later"}, "choices": None},
    "no code": {"error": "come back later"},
    "null": {"choices": None, "message": "come back later"},
    "empty": {"choices": [], "detail": "come back later"},
    "of a gateway": {"error": {"message": "Provider error", "code": 502, "metadata": {"raw": "come back later"}}},
    "a page": "<html>come back later</html>",
    "a list": ["come back later"],
}


@pytest.mark.parametrize("shape", PASSING)
def test_a_transient_error_is_retried_at_no_cost(tmp_path, shape):
    script = Script()
    script.dialect = lambda body, answer: (200, answer if len(script.asked) > 2 else PASSING[shape])
    with serving(script) as url:
        study = Study(tmp_path, url)
        server = study.server()
        assert len(server.write(["a"], [1])) == 1
        assert study.account()["usd"] == pytest.approx(server.spent()["cost_usd"])
        script.dialect = lambda body, answer: (200, PASSING[shape])
        with pytest.raises(UserError) as fault:
            impatient = study.server()
            impatient.service["patience"] = 0.1
            impatient.write(["b"], [2])
    assert "come back later" in one_line(fault) and "status" in str(fault.value)
    assert study.account()["usd"] == pytest.approx(server.spent()["cost_usd"])


def test_a_filtered_prompt_with_status_200_is_a_refusal(tmp_path):
    filtered = {"error": {"code": "content_filter", "message": "the prompt was filtered"}}
    with serving(Script(dialect=lambda body, answer: (200, filtered))) as url:
        assert Study(tmp_path, url).server().write(["a"], [1])[0]["refused"]


def test_a_truncated_response_may_have_been_billed_and_its_start_is_reported(tmp_path):
    with serving(Script(faults=lambda number: "malformed")) as url:
        study = Study(tmp_path, url)
        with pytest.raises(UserError, match="the response starts with '{"):
            study.server().write(["a"], [1])
    assert study.account()["usd"] > 0


@pytest.mark.parametrize("change", [{"message": None}, {"message": "nurse"}, {"message": {"content": 7}}])
def test_a_first_response_that_is_no_chat_completion_is_reported_at_once(tmp_path, change):
    script = Script(dialect=choice(**change))
    with (
        serving(script) as url,
        pytest.raises(UserError, match="did not return a chat completion.*check source.base_url") as fault,
    ):
        Study(tmp_path, url).server().write(["a"], [1])
    assert one_line(fault) and len(script.asked) == 1


def test_a_request_that_was_not_sent_costs_nothing(tmp_path):
    with serving(Script()) as url:
        pass
    study = Study(tmp_path, url, patience=0.1)
    with pytest.raises(UserError, match="has not responded"):
        study.server().write(["a"], [1])
    assert study.account()["usd"] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("body", [{"detail": "no such field: colour"}, {"message": "no such field: colour"}])
def test_an_error_message_is_reported_wherever_the_server_puts_it(tmp_path, body):
    with serving(Script(dialect=lambda request_body, answer: (422, body))) as url, pytest.raises(UserError) as fault:
        Study(tmp_path, url).server().write(["a"], [1])
    assert "no such field: colour" in one_line(fault)


# ---- texts ----


@pytest.mark.parametrize(
    "content, text",
    [
        ([{"type": "text", "text": "She draws "}, {"type": "text", "text": "plans."}], "She draws plans."),
        ([{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "She draws."}], "She draws."),
        ([{"type": "reasoning", "text": "Hm."}, {"type": "output_text", "text": "She draws."}], "She draws."),
        (["She ", {"text": "draws."}], "She draws."),
        ([{"type": "text", "text": {"value": "She draws."}}], "She draws."),
        ({"type": "text", "text": "She draws."}, "She draws."),
        ([{"type": "thinking", "thinking": "Hm."}], ""),
        ([], ""),
        (None, ""),
    ],
)
def test_content_in_parts_is_joined_without_reasoning(tmp_path, content, text):
    script = Script(dialect=choice(message={"role": "assistant", "content": content}))
    with serving(script) as url:
        (answer,) = Study(tmp_path, url).server().write(["a"], [1])
    assert answer["text"] == text and len(script.asked) == 1


def test_token_counts_in_unknown_formats_are_estimated(tmp_path):
    for usage in (None, [], {"prompt_tokens": None, "completion_tokens": "many"}):
        script = Script(dialect=lambda body, answer, usage=usage: (200, {**answer, "usage": usage}))
        with serving(script) as url:
            (answer,) = Study(tmp_path / str(usage), url).server().write(["a"], [1])
        assert answer["tokens"] == len(answer["text"].encode()) // 4


# ---- parameters ----


def strict(body, answer):
    """A server that rejects all parameters that reasoning models reject, with the error messages of OpenAI."""
    if "max_tokens" in body:
        text = (
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
        )
        return refusal(400, text, param="max_tokens", code="unsupported_parameter")
    if body.get("temperature", 1) == 0:
        return refusal(400, "'temperature' does not support 0 with this model.", code="unsupported_value")
    if "seed" in body:
        return 422, {"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs"}]}
    if body.get("top_logprobs", 0) > 5:
        return refusal(400, "Requested sample logprobs of 20, which is greater than max allowed: 5")
    return 200, answer


REMEDY = {
    "max_tokens": {"name": "max_completion_tokens"},
    "temperature": {"min": 0.01},
    "seed": None,
    "top_logprobs": {"max": 5},
}


def test_a_rejected_parameter_is_named_with_the_key_to_set(tmp_path):
    script, known = Script(reply=lambda body: "nurse", dialect=strict), {}
    with serving(script) as url:
        for name, change in REMEDY.items():
            study = Study(tmp_path / name, url, logprobs=True, examined=False, parameters=dict(known))
            with pytest.raises(client.Refused) as fault:
                ask(study)
            assert f"set source.parameters.{name}: " in one_line(fault)
            assert "catalog/models/scripted.yaml" in str(fault.value) and study.account()["usd"] == 0
            known[name] = change
        script.asked.clear()
        answers, _ = ask(Study(tmp_path / "all", url, logprobs=True, examined=False, parameters=known))
    assert len(answers) == 6 and len(script.asked) == 7
    for body in script.asked:
        assert body["max_completion_tokens"] == client.CHOICE_TOKENS and "max_tokens" not in body
        assert body["temperature"] == 0.01 and body["top_logprobs"] == 5 and "seed" not in body


def test_requests_that_differ_only_in_an_unsent_seed_are_sent_separately(tmp_path):
    script = Script()
    with serving(script) as url:
        study = Study(tmp_path, url, parameters={"seed": None, "temperature": None})
        study.server().write(["a", "a", "a"], [1, 2, 3])
        study.server().write(["a", "a"], [1, 4])
    assert len(script.asked) == 4 and not any({"seed", "temperature"} & body.keys() for body in script.asked)


def test_a_rejection_without_a_parameter_says_where_parameters_are_set(tmp_path):
    script = Script(dialect=lambda body, answer: refusal(400, "Bad request"))
    with serving(script) as url, pytest.raises(client.Refused) as fault:
        Study(tmp_path, url).server().write(["a"], [1])
    assert "source.parameters in catalog/models/scripted.yaml" in one_line(fault)


@pytest.mark.parametrize(
    "parameters, sound",
    [
        (REMEDY, True),
        ({"max_tokens": None}, False),
        ({"sed": None}, False),
        ({"seed": 1}, False),
        ({"top_logprobs": {"max": 0}}, False),
    ],
)
def test_parameters_are_checked_in_the_models_file(parameters, sound):
    from bias_inheritance.study import schema

    content = catalog.load("model", "local-server")
    content = {**content, "source": {**content["source"], "parameters": parameters}}
    del content["name"]
    assert (schema.faults(content, "model") == []) == sound


# ---- the first request ----


def test_the_first_request_is_sent_alone_and_once_per_study(tmp_path):
    under_way = []

    def reply(body):
        under_way.append(script.at_once)
        time.sleep(0.05)
        return "nurse"

    script = Script(reply=reply)
    with serving(script) as url:
        study = Study(tmp_path, url, logprobs=True, examined=False)
        jobs = [
            threading.Thread(target=study.server(f"results/{number}.jsonl").write, args=(["a"] * 4, range(4)))
            for number in range(3)
        ]
        for job in jobs:
            job.start()
        for job in jobs:
            job.join()
    assert under_way[0] == 1 and max(under_way) > 1
    questions = [body["messages"][-1]["content"] for body in script.asked]
    assert questions[0] == client.EXAMINATION and questions.count(client.EXAMINATION) == 1
    assert script.times[1] - script.times[0] >= 0.05


def test_a_job_records_the_first_request_that_it_sent_also_after_a_resume(tmp_path):
    script = Script()
    with serving(script) as url:
        study = Study(tmp_path, url, examined=False)
        spent = []
        for output in ("first", "first", "second"):
            server = study.server(f"results/{output}.jsonl")
            server.write(["a", "b"], [1, 2])
            spent.append(server.spent())
    assert [job["requests"] for job in spent] == [3, 3, 2] and spent[0] == spent[1]
    assert study.account()["usd"] == pytest.approx(spent[0]["cost_usd"] + spent[2]["cost_usd"])
    assert len(script.asked) == 5


def test_the_first_answer_is_described_in_the_log(tmp_path, capsys):
    with serving(Script(reply=lambda body: "nurse", dialect=choice(finish_reason="eos_token"))) as url:
        Study(tmp_path, url, logprobs=True, examined=False).server().write(["a"], [1])
    told = capsys.readouterr().out
    assert (
        "finish reason 'eos_token'" in told
        and "3 tokens listed at the first position with total probability 0.97" in told
    )


def test_after_a_refused_test_question_the_next_answer_is_checked(tmp_path):
    script = Script(faults=lambda number: "filtered" if number == 0 else None, dialect=choice(logprobs=None))
    with serving(script) as url, pytest.raises(UserError, match="source.logprobs: false"):
        ask(Study(tmp_path, url, logprobs=True, examined=False))


# ---- thoughts ----


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("<think>A nurse? A dentist? Better: painter.</think>\n\npainter", "painter"),
        ("A nurse or a dentist.\n</think>\npainter", "painter"),
        ("[THINK]nurse[/THINK]painter", "painter"),
        ("<|channel|>analysis<|message|>nurse<|end|><|start|>assistant<|channel|>final<|message|>painter", "painter"),
        ("<think>nurse", ""),
        ("Okay, the user asks for the occupation. A nurse", ""),
        ("painter", "painter"),
    ],
)
def test_an_answer_is_read_after_its_reasoning(tmp_path, written, read):
    with serving(Script(reply=lambda body: written)) as url:
        answers, _ = ask(Study(tmp_path, url), 1)
    assert [answer["text"] for answer in answers] == [read]


@pytest.mark.parametrize("content", ["<think>Which of the two is", "", None])
def test_a_first_answer_with_only_reasoning_stops_the_run_and_the_switch_is_sent(tmp_path, content):
    def dialect(body, answer):
        if body.get("chat_template_kwargs") == {"enable_thinking": False}:
            return 200, answer
        message = {"content": content, "reasoning_content": "Which of the two is"}
        return choice(message=message, finish_reason="length")(body, answer)

    script = Script(reply=lambda body: "nurse", dialect=dialect)
    with serving(script) as url:
        study = Study(tmp_path, url, examined=False)
        for _ in range(2):
            with pytest.raises(UserError, match="tokens for reasoning, before any answer.*source.extra_body") as fault:
                ask(study)
            assert one_line(fault)
        assert len(script.asked) == 1, "the first question is paid for once"
        study.set_source(extra_body={"chat_template_kwargs": {"enable_thinking": False}})
        answers, _ = ask(study)
    assert {answer["text"] for answer in answers} == {"nurse"}


# ---- silence ----


def test_an_answer_to_another_thread_ends_the_silence(tmp_path, monkeypatch):
    """Whenever the clock is read in a failing thread another one is answered, if it can be."""
    with serving(Script(faults=lambda number: "down" if number < 3 else None)) as url:
        server = Study(tmp_path, url).server()
        clock, failing = time.monotonic, threading.current_thread()

        def monotonic():
            if threading.current_thread() is failing:
                other = threading.Thread(target=server.patiently, args=(lambda: "answer",))
                other.start()
                other.join(0.05)
            return clock()

        monkeypatch.setattr(
            client, "time", type("Clock", (), {"monotonic": staticmethod(monotonic), "time": time.time})
        )
        completions = server.connection().chat.completions
        assert server.patiently(lambda: completions.create(model="scripted-1", messages=[])).choices


def test_mixed_response_formats_with_faults(tmp_path):
    """Parts, odd ends, errors under status 200 and faults of the network, mixed: every record arrives once."""
    faults = seeded_faults(0.3, ["busy", "error", "drop", "late", "malformed"], 4)
    script = Script(faults=faults)

    def dialect(body, answer):
        kind = len(script.asked) % 4
        if kind == 0:
            return 200, {"error": {"code": 429, "message": "slow down"}}
        text = answer["choices"][0]["message"]["content"]
        content = [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": text}] if kind == 1 else text
        return choice(message={"content": content}, finish_reason=["eos", "end_turn", None][kind - 1])(body, answer)

    script.dialect = dialect
    with serving(script) as url:
        answers = Study(tmp_path, url, examined=False).server().write([f"{n}" for n in range(60)], range(60))
    assert len({answer["text"] for answer in answers}) == 60 and all(answer["finished"] for answer in answers)
    assert all(answer["text"].startswith("She drew") for answer in answers)


def test_statuses_of_other_endpoints_are_unchanged():
    """A job object with an error field, and a list, are valid responses; an error object alone is not."""
    assert completion.true_status('{"id": "ftjob-1", "error": {"code": 400}}', chat=False) is None
    assert completion.true_status('{"data": []}', chat=False) is None
    assert completion.true_status("step,train_loss\n1,2", chat=False) is None
    assert completion.true_status('{"error": {"code": 503}}', chat=False) == 503
