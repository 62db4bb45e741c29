"""The doctor reports what is missing for a study, with the command that fixes it."""

import pytest
import yaml
from bias_inheritance.plumbing import machine
from bias_inheritance.plumbing.provenance import ROOT
from bias_inheritance.tools import doctor
from command_line import bias_inheritance
from scripted_server import KEY, Script, serving


def ask(root, *words):
    """(exit status, the lines) of the doctor on a machine without GPU, SLURM and Apptainer."""
    done = bias_inheritance("doctor", *words, project=root, PATH="/nonexistent", CUDA_VISIBLE_DEVICES="")
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout.splitlines()


@pytest.mark.parametrize("more", [[], ["--slurm", "--containers"]])
def test_the_papers_study_lacks_a_gpu_or_a_cluster_its_model_and_its_data(root, more):
    status, lines = ask(root, "--configfile", "studies/paper.yaml", *more)
    lacking = [line.split()[1].rstrip(":") for line in lines if line.startswith("MISSING")]
    assert status == 1
    assert set(lacking) >= ({"SLURM", "Apptainer", "image"} if more else {"GPU"}) | {"data"}
    for number, line in enumerate(lines):
        if line.startswith("MISSING"):
            assert lines[number + 1].strip().startswith("→ ")


def test_a_folder_of_data_that_is_not_there_is_named(root):
    _, lines = ask(root, "--configfile", "studies/culture.yaml", "--config", "data_dir=/nowhere")
    assert "MISSING  data: no folder /nowhere; give the folder with the data, or null" in lines


def test_what_needs_none_of_it_lacks_none_of_it(root):
    _, lines = ask(root, "--configfile", "studies/smoke.yaml")
    assert "ok       GPU: none needed" in lines
    assert "ok       data: 12 files" in lines


LIGHT = {"grid": {"model": ["smollm2-135m-instruct"], "writer": ["student"]}}
NODES = ["64000 (null)", "32000 gpu:a100:4"]


@pytest.mark.parametrize(
    "jobs, fits",
    [
        ([(48000, 0)], True),
        ([(30000, 1)], True),
        ([(48000, 0), (30000, 1)], True),
        ([(48000, 1)], False),
        ([(96000, 0)], False),
        ([(30000, 1), (48000, 1)], False),
    ],
)
def test_one_node_must_have_the_memory_and_the_gpu_of_a_job(monkeypatch, jobs, fits):
    monkeypatch.setattr(doctor, "answer", lambda *words: "\n".join(NODES))
    monkeypatch.setattr(doctor, "resources", lambda config: [{"mem_mb": mb, "gpu": gpu} for mb, gpu in jobs])
    if fits:
        assert f"{jobs[-1][0]} MB" in doctor.check_nodes({})
    else:
        with pytest.raises(doctor.Missing, match=f"none has the {jobs[-1][0]} MB"):
            doctor.check_nodes({})


def test_a_cluster_without_a_gpu_is_told(monkeypatch):
    monkeypatch.setattr(doctor, "answer", lambda *words: "64000 (null)")
    monkeypatch.setattr(doctor, "resources", lambda config: [{"mem_mb": 1000, "gpu": 1}])
    with pytest.raises(doctor.Missing, match="and the GPU"):
        doctor.check_nodes({})


@pytest.fixture
def study(tmp_path, monkeypatch):
    """The configuration of a served study, whose private files go into a folder of the test's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    config = yaml.safe_load((ROOT / "config.yaml").read_text()) | {"study": "asked", "max_cost_usd": 1}
    return config | {"grid": {**config["grid"], "model": ["gpt-4o-mini"]}}


def test_a_server_is_asked_once_and_told_before(study, monkeypatch, capsys, tmp_path):
    script = Script(reply=lambda body: capsys.readouterr().out and "A" or "it was not told")
    with serving(script) as url:
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        assert "test answer 'A', 1 tokens, finish reason 'stop', 3 tokens listed" in doctor.ask_server(
            study, "gpt-4o-mini"
        )
        assert len(script.asked) == 1
        # a run of the study has no need to ask it again
        assert len(list((tmp_path / ".work/asked/api/examined").glob("*.json"))) == 1


@pytest.mark.parametrize("wrong", ["silent", "listing", "key"])
def test_a_server_that_will_not_do_is_lacking(study, monkeypatch, wrong):
    def dialect(body, answer):
        answer["choices"][0].pop("logprobs")
        return 200, answer

    with serving(Script(faults=lambda number: "down" if wrong == "silent" else None, dialect=dialect)) as url:
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        if wrong == "key":
            monkeypatch.delenv("OPENAI_API_KEY")
        with pytest.raises(doctor.Missing) as lack:
            doctor.ask_server(study, "gpt-4o-mini")
    what, mend = lack.value.args
    expected = {
        "silent": ("status 503", "run the same"),
        "listing": ("returned none", "source.logprobs: false"),
        "key": ("not asked", "export"),
    }
    assert expected[wrong][0] in what and expected[wrong][1] in mend


@pytest.mark.parametrize(
    ("cores", "memory_mb", "says"),
    [
        (8, 16_000, "3 at once, where the 8 cores would allow 8"),
        (2, 64_000, "2 at once"),
    ],
)
def test_the_jobs_that_run_at_once_fit_into_memory(monkeypatch, cores, memory_mb, says):
    monkeypatch.setattr(machine, "memory_mb", lambda: memory_mb)
    monkeypatch.setattr(machine, "cores", lambda: cores)
    assert doctor.check_memory(LIGHT).endswith(f"model: {says}")
    monkeypatch.setattr(machine, "memory_mb", lambda: 4_000)
    with pytest.raises(doctor.Missing, match="3.6 GB available to jobs; a job that loads the model needs 4.5 GB"):
        doctor.check_memory(LIGHT)
