"""profiles/workstation on a machine with two simulated GPUs: one job each, with the number of threads that the rule
declares.
"""

import re
import shutil

import pytest
from bias_inheritance.models import base
from bias_inheritance.plumbing import files
from projects import ROOT, copy_project, run

CELLS = [("original", "0.00", "none"), ("neutral", "0.50", "none"), ("neutral", "0.50", "loss")]


def test_each_gpu_has_one_job_at_a_time(tmp_path, monkeypatch):
    project = copy_project(tmp_path / "project")
    shutil.copy(ROOT / "tests" / "integration" / "study.yaml", project / "studies" / "one.yaml")
    # nothing here uses a GPU: the random model trains on a CPU where these devices are not there
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "17,18")
    words = ["--profile", "profiles/workstation", "--set-resources", "finetune:gpu=1", "--cores", "3"]
    cells = [
        f"results/integration/cells/tiny-random/gender/{bias}/gamma-{gamma}/{mitigation}/seed-1/round-1"
        for bias, gamma, mitigation in CELLS
    ]
    run(project, *words, *(f"{cell}/adapter" for cell in cells))

    of_device = {}
    for cell, (bias, gamma, mitigation) in zip(cells, CELLS, strict=True):
        record = files.read_json(project / cell / "finetune.prov.json")
        assert record["threads"] == 1  # what its model's file says, however many cores there are
        log = f"logs/integration/finetune/tiny-random-gender-{bias}-{gamma}-{mitigation}-1-1.log"
        text = (project / log).read_text()
        (device,) = re.findall("^on GPU (.+)$", text, re.MULTILINE)
        of_device.setdefault(device, []).append((record["started"], record["ended"]))
    assert set(of_device) == {"17", "18"}
    assert sum(map(len, of_device.values())) == len(CELLS)
    for spans in of_device.values():
        spans.sort()
        assert all(ended <= started for (_, ended), (started, _) in zip(spans, spans[1:], strict=False))


@pytest.mark.parametrize("threads", [1, 2])
def test_torch_uses_the_threads_that_a_rule_has(threads, card_path, monkeypatch):
    import torch

    before = torch.get_num_threads()
    monkeypatch.setenv("OMP_NUM_THREADS", str(threads))
    base.load_base(files.read_json(card_path))
    try:
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
