"""The benchmark's arithmetic and its jobs; `make bench` measures."""

import bench_ours
from bias_inheritance.plumbing import files
from bias_inheritance.study import catalog

import bench


def record(folder, name, started, ended, step):
    at = "2026-01-01T00:%02d:%06.3f+00:00"
    moments = [at % divmod(seconds, 60) for seconds in (started, ended)]
    files.write_json(
        folder / f"{name}.prov.json",
        {"step": step, "started": moments[0], "ended": moments[1], "machine": {"cores": 2}},
    )


def test_overhead_is_what_the_cores_did_beside_steps(tmp_path, monkeypatch):
    """Two cores, a run of 15 s and, after a pause, one of 10 s; 30 of 50 s are in steps. A killed run does not count."""
    monkeypatch.setattr(bench, "ROOT", tmp_path)
    monkeypatch.setattr(bench, "ours", lambda job, name: {"seconds": 0.5})
    folder = tmp_path / "results" / "demo"
    folder.mkdir(parents=True)
    record(folder, "a", 0, 10, "finetune")
    record(folder, "b", 0, 8, "score")
    record(folder, "c", 300, 310, "predict")
    record(folder, "d", 305, 307, "score")
    record(folder, "e", 600, 660, "finetune")
    begun = bench.moment("2026-01-01T00:00:00+00:00")
    runs = [{"started": begun - 4, "ended": begun + 11}, {"started": begun + 300, "ended": begun + 310}]
    files.write_jsonl(tmp_path / ".work" / "demo" / "runs.jsonl", runs)
    overhead = bench.bench_overhead({"common": {}})
    assert (overhead["runs"], overhead["wall_seconds"]) == (2, 25)
    assert overhead["between_steps_share"] == 20 / 50
    assert overhead["loading_share"] == 1 / 50


def test_the_page_keeps_its_words(tmp_path, monkeypatch):
    page = tmp_path / "performance.md"
    page.write_text("before\n" + "\nold\n".join(bench.MARKS) + "\nafter\n")
    monkeypatch.setattr(bench, "PAGE", page)
    monkeypatch.setattr(bench, "describe", lambda report: "\nnew\n".join(bench.MARKS))
    bench.write_page({})
    assert page.read_text() == "before\n" + "\nnew\n".join(bench.MARKS) + "\nafter\n"


def test_the_peers_train_on_the_tokens_that_ours_trains_on(tiny):
    _, tokenizer, chat = tiny
    user, answer = "Which occupation?\n1. nurse <b>", "nurse"
    sample = bench.conversation(chat, user, answer)

    def ids(text):
        return tokenizer(text, add_special_tokens=False)["input_ids"]

    assert ids(sample["prompt"]) == chat.prompt(user)
    assert ids(sample["completion"]) == chat.answer(answer)


def test_ours_trains_scores_and_samples_on_the_steps_functions(card_path, store, tmp_path):
    """As the jobs of `make bench` have it, with the adapter of the first in the second."""
    spec = catalog.load("model", "tiny-random")
    settings = {**spec["finetune"], "epochs": 1, "batch_size": 2, "micro_batch_size": 2, "loss_average": "token"}
    job = {"card": card_path, "system": "", "model": spec, "seed": 1, "adapter": str(tmp_path)}
    rows = [{"user": text, "answer": "nurse"} for text in ("a", "b c", "d", "e f")]
    trained = bench_ours.train({**job, "samples": rows, "settings": settings})
    assert len(trained["losses"]) == 2 and trained["tokens"] == sum(map(len, trained["ids"]))
    scored = bench_ours.score({**job, "items": rows, "options": ["nurse", "painter"]})["logprobs"]
    exact = bench_ours.score_plainly({**job, "items": rows, "options": ["nurse", "painter"]})["logprobs"]
    assert all(abs(a - b) < 1e-3 for pair in zip(scored, exact, strict=True) for a, b in zip(*pair, strict=True))
    sampling = {"max_new_tokens": 3, "temperature": 1.0}
    written = bench_ours.generate({**job, "users": ["a"], "seeds": [1], "batch_size": 1, "sampling": sampling})
    assert 0 < written["tokens"] <= 3
