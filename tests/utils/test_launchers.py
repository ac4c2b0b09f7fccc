"""Parallel sweeps: shares of the cores, a cap, and a line for each job that dies; Slurm by a `sbatch` of our own."""

import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers import ROOT
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import OmegaConf

from worldmodels.utils import launchers
from worldmodels.utils.launchers import RUNNING, Watched, marked_running, share_of_cores

SBATCH = """#!/usr/bin/env python3
\"\"\"Runs a submission at once, as node 0 of an array of one.\"\"\"
import os, pathlib, re, subprocess, sys
folder = pathlib.Path(__file__).parent
number = 100 + len(list(folder.glob("*.sh")))
text = pathlib.Path(sys.argv[-1]).read_text()
(folder / f"{number}.sh").write_text(text)
command = next(line for line in text.splitlines() if line.startswith("srun"))
command = re.sub(r"^srun .*?(?=\\S*python)", "", command)
environment = {**os.environ, "SLURM_JOB_ID": str(number), "SLURM_JOBID": str(number), "SLURM_NTASKS": "1"}
environment |= {"SLURM_JOB_NUM_NODES": "1", "SLURM_NODEID": "0", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"}
environment |= {"SLURM_JOB_NODELIST": "localhost", "SUBMITIT_EXECUTOR": "slurm"}
with (folder / f"{number}.log").open("w") as log:
    subprocess.Popen(command, shell=True, env=environment, stdout=log, stderr=log)
print("Submitted batch job", number)
"""
SACCT = """#!/usr/bin/env python3
import pathlib
print("JobID|State|NodeList")
for path in pathlib.Path(__file__).parent.glob("*.sh"):
    print(f"{path.stem}|RUNNING|localhost")
"""


class LocalLauncher:
    """As submitit's: jobs of a launch run at once, and one that dies raises."""

    def __init__(self, **params):
        self.params, self.running, self.most = params, 0, 0

    def launch(self, job_overrides, initial_job_idx):
        self.running += len(job_overrides)
        self.most = max(self.most, self.running)
        time.sleep(0.02)
        self.running -= len(job_overrides)
        if initial_job_idx == 3:
            raise RuntimeError("Job 3 has not produced any output\nlog …")
        done = [JobReturn(overrides=each, status=JobStatus.COMPLETED) for each in job_overrides]
        for each in done:
            each.return_value = 1.0
        return done


def test_jobs_on_this_machine_are_capped_and_the_dead_one_is_named(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(launchers, "usable_cores", lambda: 4)
    monkeypatch.setenv(launchers.SWEEP, "")
    launcher = LocalLauncher(cpus_per_task=2)
    done = Watched(launcher, tmp_path).launch([[f"seed={i}"] for i in range(6)], 0)
    assert launcher.most == 2
    assert [each.status == JobStatus.COMPLETED for each in done] == [True] * 3 + [False] + [True] * 2
    assert [each.overrides for each in done] == [[f"seed={i}"] for i in range(6)]
    told = capsys.readouterr().err.splitlines()
    assert told == ["error: job 3 of the sweep (seed=3) ended without results: Job 3 has not produced any output"]
    with pytest.raises(RuntimeError, match="job 3 left no results"):
        _ = done[3].return_value


INTERRUPTED = """
import signal, sys, time
from pathlib import Path
from worldmodels.utils.launchers import Watched
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
class SlurmLauncher:
    params = {}
    def launch(self, job_overrides, initial_job_idx):
        if initial_job_idx == 0:
            time.sleep(0.5)  # until the main thread waits, which this signal does not wake
            signal.raise_signal(signal.SIGINT)
        time.sleep(600)
try:
    Watched(SlurmLauncher(), Path(sys.argv[1])).launch([["seed=0"], ["seed=1"]], 0)
except KeyboardInterrupt:
    sys.exit(130)
"""


def test_ctrl_c_does_not_wait_for_the_jobs_under_way(tmp_path):
    command = [sys.executable, "-c", INTERRUPTED, tmp_path]
    assert subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=60).returncode == 130


def test_jobs_that_were_under_way_when_a_pool_died_are_named(tmp_path, capsys):
    class Pool:
        def launch(self, job_overrides, initial_job_idx):
            (tmp_path / RUNNING).mkdir()
            (tmp_path / RUNNING / "1").touch()
            raise RuntimeError("a worker was killed")

    with pytest.raises(RuntimeError, match="a worker was killed"):
        Watched(Pool(), tmp_path).launch([["seed=0"], ["seed=1"]], 0)
    assert "job 1 of the sweep (seed=1) ended without results: a worker was killed" in capsys.readouterr().err


def test_a_job_leaves_no_mark_when_it_ends(tmp_path):
    with pytest.raises(ZeroDivisionError), marked_running(tmp_path, 4):
        assert [path.name for path in (tmp_path / RUNNING).iterdir()] == ["4"]
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("node", "share"),
    [
        ({"_target_": "x.BasicLauncher"}, 8),
        ({"_target_": "x.JoblibLauncher", "n_jobs": 2}, 4),
        ({"_target_": "x.JoblibLauncher", "n_jobs": -1}, 1),
        ({"_target_": "x.LocalLauncher", "cpus_per_task": None}, 1),
        ({"_target_": "x.LocalLauncher", "cpus_per_task": 3}, 3),
        ({"_target_": "x.SlurmLauncher", "cpus_per_task": 3}, 5),  # Slurm tells its job
        ({"_target_": "x.RayLauncher", "ray": {"remote": {"num_cpus": 2}}}, 2),
        ({"_target_": "x.RayLauncher", "ray": {"remote": {}}}, 1),
        ({"_target_": "x.RayLauncher", "ray": {"remote": {"num_cpus": 0.5}}}, 1),
    ],
)
def test_each_job_has_its_share_of_the_cores(node, share, monkeypatch):
    monkeypatch.setattr(launchers, "usable_cores", lambda: 8)
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "5")
    assert share_of_cores(OmegaConf.create(node)) == share


@pytest.mark.slow
def test_a_sweep_by_slurm(commands, tmp_path, monkeypatch):
    """Slurm's commands are two scripts that run a job here."""
    pytest.importorskip("submitit", reason="needs the extra slurm")
    tools = tmp_path / "bin"
    tools.mkdir()
    for name, text in (("sbatch", SBATCH), ("sacct", SACCT)):
        (tools / name).write_text(text)
        (tools / name).chmod(stat.S_IRWXU)
    (tools / "srun").symlink_to(tools / "sbatch")  # that it is there is all that is asked
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    options = (
        "-m",
        "hydra/launcher=submitit_slurm",
        "hydra.launcher.partition=short",
        "hydra.launcher.timeout_min=600",
    )
    commands.train(*options, "env=lunar_lander", "seed=0,1", "stage=collect")
    assert sorted(results["seed"] for results in commands.results()) == [0, 1]
    submissions = sorted(tools.glob("*.sh"))
    assert len(submissions) == 2
    assert all("--partition=short" in path.read_text() for path in submissions)
    assert not list(Path(commands.outputs).rglob(RUNNING))
