"""What the tests themselves leave in the checkout."""

import subprocess

import projects


def test_a_model_fetched_into_a_fresh_clone_is_not_taken_for_a_file_that_tests_wrote(tmp_path, monkeypatch):
    monkeypatch.setattr(projects, "ROOT", tmp_path)
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    (tmp_path / ".gitignore").write_text("/models\n/.gitignore\n")
    before = projects.written_to_checkout()
    (tmp_path / "models" / "smollm2").mkdir(parents=True)
    (tmp_path / "models" / "smollm2" / "model.safetensors").touch()
    assert projects.written_to_checkout() == before
    (tmp_path / "results" / "demo").mkdir(parents=True)
    (tmp_path / "notes.txt").touch()
    assert projects.written_to_checkout() - before == {"?? notes.txt", str(tmp_path / "results" / "demo")}
