"""Scoring with lm-evaluation-harness: a multiple-choice task of local files, log-probabilities of every option.

    python score_lm_eval.py JOB.json RESULT.json     in the environment of envs/bench-lm-eval.txt

Only its log-probability requests are timed, not task construction and statistics.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

from lm_eval import simple_evaluate
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from multiple_choice import TASK


class Timed(HFLM):
    seconds = 0.0

    def loglikelihood(self, *arguments, **options):
        started = time.perf_counter()
        results = super().loglikelihood(*arguments, **options)
        self.seconds += time.perf_counter() - started
        return results


def main(job_path, result_path):
    with open(job_path) as file:
        job = json.load(file)
    model = Timed(
        job["base"], peft=job["adapter"], dtype=job["compute"], batch_size=job["batch_size"], device=job["device"]
    )
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder, "items.jsonl")
        data.write_text(
            "".join(json.dumps({"prompt": item["prompt"], "options": job["options"]}) + "\n" for item in job["items"])
        )
        Path(folder, "options.yaml").write_text(TASK % data)
        evaluation = simple_evaluate(
            model,
            tasks=["options"],
            task_manager=TaskManager(include_path=folder, include_defaults=False),
            bootstrap_iters=0,
        )
    samples = sorted(evaluation["samples"]["options"], key=lambda sample: sample["doc_id"])
    result = {
        "seconds": model.seconds,
        "logprobs": [[float(response[0]) for response in sample["filtered_resps"]] for sample in samples],
    }
    with open(result_path, "w") as file:
        json.dump(result, file)


if __name__ == "__main__":
    main(*sys.argv[1:])
