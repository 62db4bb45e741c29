"""Mix and fine-tune one cell through a provider's API: upload, create a job, wait, store the id of the tuned model."""

import base64
import csv
import io
import json
import time

from bias_inheritance.models import base
from bias_inheritance.models.served import client
from bias_inheritance.plumbing import files, progress, provenance, step
from bias_inheritance.plumbing.errors import UserError
from bias_inheritance.plumbing.step import Input, Inputs, Output, Work
from bias_inheritance.pools import collapse, mixing

LOST = ("failed", "cancelled")
ENDED = ("succeeded", *LOST)


def finetune_api(
    card: Input,
    originals: Input,
    pools: Inputs,
    before: Inputs,
    start: Inputs,
    train: Output,
    summary: Output,
    adapter: Output,
    training_log: Output,
    work: Work,
    mix: dict,
    model: dict,
    settings: dict,
    seed: int,
    balanced: Inputs = (),
):
    """Write the cell's mix, its adapter (a folder with tuned.json: the tuned model's id and its job) and its training log.

    originals, pools, before, mix: as in finetune.py. balanced: always empty for a served model. start: the adapter from
    which training continues, or nothing. For a collapsed mix the adapter is replaced by the reason.
    """
    rows, collapsed = mixing.mix(originals, pools, before, train, summary, **mix, seed=seed)
    if collapsed:
        collapse.mark(adapter, collapsed)
        files.write_text(training_log, f'collapsed\n"{collapsed}"\n')
        return
    tune(card, rows, start, adapter, training_log, work, model, settings, seed)


def tune(card, rows, start, adapter, training_log, work, model, settings, seed):
    """Have the provider tune the model on the rows of a mix; write tuned.json and the log.

    A job's metadata `cell` is the digest of all its inputs, so that an existing job can be located at the provider after
    any interruption, and is never created twice. A failed or cancelled job raises UserError, its cost stays in the
    account, and the next run creates a new job.
    """
    server = client.Server(base.read_card(card), start, model, work, adapter)
    data = _training_file(rows, model["system"])
    hyperparameters = {
        "n_epochs": settings["epochs"],
        "batch_size": settings["batch_size"],
        "learning_rate_multiplier": settings["learning_rate_multiplier"],
    }
    request = {
        "model": server.id,
        "method": {"type": "supervised", "supervised": {"hyperparameters": hyperparameters}},
        "seed": seed,
    }
    cell = provenance.digest({"url": server.url, "data": data.decode(), **request})[:32]
    journal = files.Journal(work.parents[1] / "api" / "jobs" / f"{cell}.jsonl")
    known = _jobs_of(server, cell, journal)
    for job in known:
        if job.status in LOST:
            print(f"job {job.id} {job.status} in an earlier run; ignored")
            _book(server, job)
    usable = [job for job in known if job.status not in LOST]
    if usable:
        job = min(usable, key=lambda job: job.created_at)
    else:
        server.account.book(cell, 0.0, checked=False)  # a run that was killed may have left its reservation
        server.examine()  # fail before paying for a model that could not be evaluated
        job = _create(server, cell, journal, data, request, settings["epochs"], {job.id for job in known})
    job = _wait(server, job)
    cost = _book(server, job)
    server.account.book(cell, 0.0, checked=False)
    if job.status in LOST:
        reason = server.one_line(job.error.message if job.error and job.error.message else "no reason given")
        raise UserError(
            f"{server.where()}: job {job.id} {job.status} ({reason}); fix the problem, then run the same command to create a new job"
        )
    if not job.fine_tuned_model:
        raise UserError(
            f"{server.where()}: job {job.id} succeeded but names no tuned model; see the provider's console"
        )
    files.write_json(adapter / "tuned.json", {"model": job.fine_tuned_model, "job": job.id})
    files.write_text(training_log, _log(server, job))
    spent = server.spent()  # on the first request of the study, where this job sent it
    spent |= {"requests": spent["requests"] + 1, "request_ids": [*spent["request_ids"], job.id]}
    spent |= {
        "file": job.training_file,
        "trained_tokens": job.trained_tokens or 0,
        "cost_usd": spent["cost_usd"] + cost,
    }
    step.note(api=spent)


def _training_file(rows, system):
    """The training rows in the provider's form: one conversation per line, UTF-8."""
    opening = [{"role": "system", "content": system}] if system is not None else []
    lines = []
    for row in rows:
        question = {"role": "user", "content": row["user"]}
        answer = {"role": "assistant", "content": row["assistant"]}
        lines.append(json.dumps({"messages": [*opening, question, answer]}, ensure_ascii=False) + "\n")
    return "".join(lines).encode()


def _jobs_of(server, cell, journal):
    """All jobs ever created for the cell: those in the journal, then others in the provider's list."""
    jobs = server.connection().fine_tuning.jobs
    jobs_of_journal = [server.patiently(lambda row=row: jobs.retrieve(row["job"])) for row in journal.rows]
    ids = {job.id for job in jobs_of_journal}
    # servers may ignore an unsupported filter, so the result is checked
    listed = server.patiently(lambda: list(jobs.list(metadata={"cell": cell}, limit=100)))
    return jobs_of_journal + [job for job in listed if (job.metadata or {}).get("cell") == cell and job.id not in ids]


def _book(server, job):
    """Book the final cost of an ended job, in dollars, under its id, and return it."""
    cost = (job.trained_tokens or 0) * server.service["price"]["training"] / 1e6
    server.account.book(job.id, cost, checked=False)
    return cost


def _create(server, cell, journal, data, request, epochs, known):
    """Upload the training file unless it exists, reserve the job's cost, and create the job.

    known: ids of the cell's earlier jobs. If the provider refuses, the reservation is released, unless a job may have been
    created despite the error.
    """
    # upper bound: no tokeniser produces more tokens than bytes
    most = len(data) * epochs * server.service["price"]["training"] / 1e6
    server.account.book(cell, most, checked=True)
    provider, name, tries = server.connection(), f"{cell}.jsonl", []

    def once():
        tries.append(1)
        # a request whose response was lost may have created the job: look it up before retrying
        made = [job for job in _jobs_of(server, cell, journal) if job.id not in known]
        if made:
            return min(made, key=lambda job: job.created_at)
        return provider.fine_tuning.jobs.create(
            **request, training_file=upload.id, suffix=f"bi-{cell[:12]}", metadata={"cell": cell}
        )

    try:
        uploaded = server.patiently(lambda: list(provider.files.list(purpose="fine-tune")))
        same = [file for file in uploaded if file.filename == name and file.bytes == len(data)]
        upload = (
            same[0] if same else server.patiently(lambda: provider.files.create(file=(name, data), purpose="fine-tune"))
        )
        job = server.patiently(once)
    except client.Refused:
        if len(tries) < 2:
            server.account.book(cell, 0.0, checked=False)
        raise
    journal.append([{"job": job.id, "file": upload.id}])
    print(f"created job {job.id}", flush=True)
    return job


def _wait(server, job):
    """Wait for the job to end and return it. Raises UserError after the service's `tuning_hours`."""
    jobs, began = server.connection().fine_tuning.jobs, time.time()
    hours, pause = server.service["tuning_hours"], server.service["poll_seconds"]
    while job.status not in ENDED:
        waited = time.time() - began
        if waited > hours * 3600:
            raise UserError(
                f"{server.where()}: job {job.id} is still {job.status} after {waited / 3600:.1f} hours; run the same command again to keep waiting, or cancel it in the provider's console"
            )
        progress.update(int(waited / 60), int(hours * 60), "minutes")
        time.sleep(pause)
        job = server.patiently(lambda job=job: jobs.retrieve(job.id))
    return job


def _log(server, job):
    """The provider's table of training losses as CSV {step, loss}; only the header if there is none."""
    text = ""
    if job.result_files:
        text = server.patiently(lambda: server.connection().files.content(job.result_files[0]).text)
        if not text.lstrip().startswith("step"):
            text = base64.b64decode(text).decode()
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(["step", "loss"])
    for row in csv.DictReader(io.StringIO(text)):
        writer.writerow([row["step"], row["train_loss"]])
    return table.getvalue()


if __name__ == "__main__":
    step.run(finetune_api)
