"""A sweep ends with a line for each of its jobs."""

import io
import json

from rich.console import Console
from synthetic import write_run

from worldmodels.store.runs import FinishedRun
from worldmodels.store.sweep_table import in_short, print_sweep
from worldmodels.utils.console import AS_IT_IS
from worldmodels.utils.sweeps import job_name


def write_jobs(tmp_path, compose):
    (tmp_path / "multirun.yaml").write_text(
        "hydra: {overrides: {task: ['transfer=scratch,freeze2', 'scale=smoke', 'vae.epochs=2,3']}}\n"
    )
    for number, (transfer, stages) in enumerate((("scratch", 6), ("freeze2", 2), ("freeze2", 0))):
        folder = tmp_path / f"{number}-job"
        if stages:
            config = compose("scale=smoke", f"transfer={transfer}")
            write_run(tmp_path, config, stages=stages, name="x", probed=False).rename(folder)
            (tmp_path / "runs").rmdir()
        (folder / ".hydra").mkdir(parents=True)
        words = json.dumps([f"transfer={transfer}", "scale=smoke", f"vae.epochs={2 + number % 2}"])
        (folder / ".hydra" / "overrides.yaml").write_text(words)


def printed(folder):
    file = io.StringIO()
    print_sweep(folder, Console(file=file, width=120, **AS_IT_IS))
    return file.getvalue()


def test_every_job_tells_what_sets_it_apart_and_what_it_gave(tmp_path, compose):
    write_jobs(tmp_path, compose)
    text = printed(tmp_path)
    rows = [" ".join(line.split()) for line in text.splitlines()]
    assert "0 scratch vae.epochs=2 score 300.0, random -30.0 6 min" in rows
    assert "1 freeze2 vae.epochs=3 V's squared error 52.0 2 min" in rows
    assert "2 freeze2 vae.epochs=2 did not finish" in rows
    assert max(len(line) for line in text.splitlines() if str(tmp_path) not in line) <= 100
    assert f"next: python -m worldmodels.report runs='{tmp_path}/*'" in text


def test_a_sweep_of_which_nothing_is_left_tells_nothing(tmp_path):
    assert printed(tmp_path) == ""
    assert job_name(["seed=1", "+experiment=look"], tmp_path) == "seed=1 look"


def test_the_last_thing_that_a_run_gave(tmp_path, compose):
    whole = FinishedRun(write_run(tmp_path, compose())).results
    told = []
    for last in ("evaluation", "controller", "memory", "vision", "collect"):
        told.append(in_short(whole))
        del whole[last]
    told.append(in_short(whole))
    assert told[0] == "score 300.0, random -30.0" and told[1].startswith("population mean ")
    assert told[2] == "M's NLL 1.200" and told[3] == "V's squared error 50.0"
    assert told[4:] == ["1,000 frames", "nothing yet"]


def test_jobs_of_a_sweeper_that_keeps_no_note_are_named_by_what_it_chose(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["train", "-m", "hydra/sweeper=optuna", "scale=smoke", "vae.epochs=range(1,9)"])
    assert job_name(["vae.epochs=3", "scale='smoke'"], tmp_path) == "vae.epochs=3"


def test_a_long_value_is_told_whole(tmp_path, compose):
    write_jobs(tmp_path, compose)
    task = {"hydra": {"overrides": {"task": ["scale=smoke", "collect.recorded=a,b"]}}}
    (tmp_path / "multirun.yaml").write_text(json.dumps(task))
    for job in range(2):
        words = json.dumps(["scale=smoke", f"collect.recorded={'x' * 150}{job}"])
        (tmp_path / f"{job}-job" / ".hydra" / "overrides.yaml").write_text(words)
    assert sum(line.count("x") for line in printed(tmp_path).splitlines()[1:-1]) == 300
