"""What the commands refuse before the libraries load: an answer in a second or two, on a busy machine too."""

import errno
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers import ROOT, ended

from worldmodels.api import train
from worldmodels.cli import remove_empty_run
from worldmodels.utils.disk import writing
from worldmodels.utils.errors import ConfigError, Failure

HEAVY = ("torch", "lightning", "numba", "cv2", "h5py", "matplotlib")
# A fork for each case, of an interpreter that has what all commands load before they have looked at the request.
RUN = f"""
import json, os, runpy, sys
import hydra.main, worldmodels.cli, worldmodels.config

for number, (module, *arguments) in enumerate(json.loads(sys.argv[1])):
    if os.fork() == 0:
        for place, name in ((1, "out"), (2, "errors")):
            os.dup2(os.open(f"{{number}}.{{name}}", os.O_CREAT | os.O_WRONLY), place)
        sys.argv = [module, *arguments]
        code = 0
        try:
            runpy.run_module(module, run_name="__main__")
        except SystemExit as error:
            code = error.code
        print(json.dumps([code, [name for name in {HEAVY} if name in sys.modules]]), flush=True)
        sys.stderr.flush()
        os._exit(0)
    assert os.wait()[1] == 0
"""
REFUSED = [
    ("train vae.epoch=3", "vae.epoch"),
    ("train transfer=frozen", "transfer=frozen is unknown: expected one of aligned"),
    ("train vae.epochs=0", "vae.epochs=0 is too small"),
    ("train memory.steps=7 memory.validate_every=3", "a divisor of 7"),
    (
        "train transfer=pretrained transfer.source_env=breakout",
        "transfer.source_env=breakout is unknown: expected one of bipedal_walker",
    ),
    ("train transfer=pretrained transfer.source_run=nowhere", "nowhere is no run"),
    ("train paths.outputs=", "paths.outputs is empty: expected a folder"),
    ("train transfer=pretrained transfer.source_settings={foo:1}", "transfer.source_settings.foo is unknown: expected"),
    ("train ~scale", "~scale deletes scale, which every run needs: expected an option of the group"),
    ("train ~vae.epochs", "~vae.epochs deletes vae.epochs, which every run needs: expected a value"),
    ("train vae.loss=[mse]", "vae.loss=[mse] is a list: expected mse, sigma"),
    ("train -m seed=range(0,0)", "seed=range(0,0) is a sweep of no jobs: expected one value at least"),
    ("evaluate run=nowhere", "nowhere is no run"),
    ("evaluate run=nowhere episodes=abc", "episodes=abc is no int: expected one"),
    ("evaluate run=nowhere episodes=0", "episodes=0 is too small"),
    ("dream run=nowhere", "nowhere is no run"),
    ("dream run=nowhere temperature=hot", "temperature=hot is no number"),
    ("play run=nowhere", "nowhere is no run"),
    ("play run=x port=65536", "port=65536 is none: expected 1 to 65535, or 0"),
    ("probe run=nowhere", "nowhere is no run"),
    ("report paths.outputs=x", "paths.outputs is no setting of this command: expected one of runs, "),
    ("report +colour=red", "colour is no setting of this command: expected one of runs, "),
    ("export run=nowhere to=folder", "nowhere is no run"),
    ("probe run=nowhere scored=2", "scored=2.0 is out of range"),
    ("report runs=[]", "is no pattern"),
    ("report runs=nowhere", "matches no finished run"),
    ("benchmark device=tpu", "device=tpu is unknown"),
]


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """What each case printed, where, and the folder of its run."""
    folder = tmp_path_factory.mktemp("refused")
    asked = [
        [f"worldmodels.{command}", *overrides, f"hydra.run.dir={folder / str(number)}"]
        for number, (command, *overrides) in enumerate(arguments.split() for arguments, _ in REFUSED)
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", RUN, json.dumps(asked)], cwd=folder, env=environment, timeout=240, check=True)
    return folder


@pytest.mark.parametrize("number", range(len(REFUSED)), ids=[arguments for arguments, _ in REFUSED])
def test_nonsense_is_refused_before_the_libraries_load(number, answers):
    code, loaded = json.loads((answers / f"{number}.out").read_text().splitlines()[-1])
    (line,) = (answers / f"{number}.errors").read_text().splitlines()
    assert (code, loaded) == (2, [])
    assert line.startswith("error: ") and REFUSED[number][1] in line
    assert not (answers / str(number)).exists()


def python(*arguments, cwd=ROOT, **environment):
    """Run a command in a new interpreter."""
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        timeout=120,
        check=False,
    )


def test_every_job_of_a_sweep_that_fails_is_named_wherever_the_flag_stands(tmp_path):
    sweep = f"hydra.sweep.dir={tmp_path / 'sweep'}"
    done = python("worldmodels.train", "scale=smoke", sweep, "-m", "vae.learning_rate=-1,-2,-3")
    told = [line for line in done.stderr.decode().splitlines() if line.startswith("error: ")]
    assert done.returncode == 2
    assert told[:3] == [
        f"error: job {job} of the sweep: vae.learning_rate=-{job + 1}.0 is out of range: expected above 0"
        for job in range(3)
    ]
    assert told[3:] == [] and b"Traceback" not in done.stderr
    assert not (tmp_path / "sweep").exists()


def test_jobs_that_are_refused_while_they_run_leave_no_folder(tmp_path):
    """What the checks of a config do not see: there is no such run."""
    source = ("transfer=pretrained", "transfer.source_run=nowhere", "seed=0,1")
    done = python("worldmodels.train", "-m", *source, cwd=tmp_path)
    told = [line for line in done.stderr.decode().splitlines() if line.startswith("error: ")]
    assert done.returncode == 2 and told[0].startswith("error: job 0 of the sweep: nowhere is no run")
    assert told[2] == "error: not every job of the sweep succeeded: each that failed is named above"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("override", ["collect.rollouts=2,abc,3", "collect.rollouts=2,1,3", "env=car_racing,nope,pong"])
def test_a_value_that_makes_no_sense_ends_a_sweep_before_any_job_runs(tmp_path, override):
    sweep = ("scale=smoke", "stage=collect", f"hydra.sweep.dir={tmp_path / 'sweep'}", f"paths.outputs={tmp_path}")
    done = python("worldmodels.train", "-m", *sweep, override, cwd=tmp_path)
    assert done.returncode == 2
    (line,) = done.stderr.decode().splitlines()
    key, _, values = override.partition("=")
    assert line.startswith(f"error: job 1 of the sweep: {key}={values.split(',')[1]} is ")
    assert list(tmp_path.iterdir()) == []


def test_a_refused_request_leaves_the_folder_that_it_was_made_in(tmp_path):
    done = python("worldmodels.train", "vae.learning_rate=-1", cwd=tmp_path)
    assert done.returncode == 2
    assert tmp_path.is_dir() and list(tmp_path.iterdir()) == []


def test_an_unset_variable_makes_no_folder_in_the_root(tmp_path):
    done = python("worldmodels.train", "paths.outputs=", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.decode() == "error: paths.outputs is empty: expected a folder; set paths.outputs=outputs\n"
    assert not Path("/runs").exists() and list(tmp_path.iterdir()) == []


def test_a_folder_that_can_be_none_is_refused_in_a_line(tmp_path):
    (tmp_path / "file").touch()
    outputs = tmp_path / "file" / "outputs"
    told = f"paths.outputs={outputs} cannot be written (Not a directory): expected a folder one may write to"
    with pytest.raises(ConfigError) as caught:
        train(f"paths.outputs={outputs}")
    assert str(caught.value) == told
    done = python("worldmodels.train", f"paths.outputs={outputs}")
    assert (done.returncode, done.stderr.decode()) == (2, f"error: {told}\n")


def test_an_interruption_among_the_first_imports_is_a_line(tmp_path):
    (tmp_path / "gymnasium.py").write_text("raise KeyboardInterrupt")
    done = python("worldmodels.train", PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}")
    assert (done.returncode, done.stderr) == (130, b"interrupted\n")


def test_help_is_shown_in_any_encoding(warm):
    shown, usual = (
        ended(warm.start(["-m", "worldmodels.train", "--help"], environment={"PYTHONIOENCODING": encoding}))
        for encoding in ("ascii", "utf-8")
    )
    assert "collect ? vision ? encode ? memory ? controller ? evaluate" in shown
    assert shown == usual.encode("ascii", "replace").decode()


def test_what_was_refused_keeps_the_results_of_earlier_rounds(tmp_path):
    (tmp_path / "run" / "round1").mkdir(parents=True)
    (tmp_path / "run" / "round1" / "results.json").write_text("{}")
    remove_empty_run(tmp_path / "run")
    assert (tmp_path / "run" / "round1" / "results.json").exists()
    for name in (".hydra/config.yaml", "train.log", "hparams.yaml", "board/events.out.tfevents.1"):
        (tmp_path / "refused" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "refused" / name).touch()
    remove_empty_run(tmp_path / "refused")
    assert not (tmp_path / "refused").exists()


@pytest.mark.parametrize("name", ["notes.txt", "experiment.log"])
def test_what_was_refused_keeps_what_was_in_its_folder(name, tmp_path, monkeypatch):
    """Of ``hydra.run.dir=.``, or any folder of the user's own."""
    (tmp_path / "mine" / "deep").mkdir(parents=True)
    (tmp_path / "mine" / "deep" / name).write_text("mine")
    remove_empty_run(tmp_path / "mine")
    assert (tmp_path / "mine" / "deep" / name).read_text() == "mine"
    (tmp_path / "here" / "empty").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here" / "empty")
    (tmp_path / "link").symlink_to(tmp_path / "here")
    for folder in (Path(), tmp_path / "here", Path.cwd() / "..", tmp_path / "link" / "empty"):
        remove_empty_run(folder)
        assert (tmp_path / "here" / "empty").is_dir(), folder


@pytest.mark.parametrize("name", ["train.log", "board/events.out.tfevents.1", ".hydra/config.yaml"])
def test_what_was_refused_keeps_the_logs_of_an_earlier_run(name, tmp_path):
    """Of an interrupted one, or of TensorBoard's in a folder of the user's own."""
    earlier = tmp_path / "mine" / name
    earlier.parent.mkdir(parents=True)
    earlier.touch()
    before = time.time() - 3600
    os.utime(earlier, (before, before))
    (tmp_path / "mine" / "evaluate.log").touch()
    remove_empty_run(tmp_path / "mine")
    assert earlier.exists()


def test_what_was_refused_keeps_a_link(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "data").symlink_to(tmp_path)
    remove_empty_run(tmp_path / "mine")
    assert (tmp_path / "mine" / "data").is_symlink()


@pytest.mark.parametrize("name", ["export", "play"])
def test_a_command_that_only_reads_a_run_writes_nothing_there(name, tmp_path, monkeypatch):
    """Not even a log: the run may be read-only, or in git. A refused one touches nothing either."""
    run = tmp_path / "run"
    run.mkdir()
    (run / "results.json").write_text('{"mean": 3}')
    settings = ["to=agent"] if name == "export" else ["export=page.html"]
    done = python(f"worldmodels.{name}", f"run={run}", *settings, cwd=tmp_path)
    (line,) = done.stderr.decode().splitlines()
    assert done.returncode == 2 and line.startswith(f"error: {run / 'results.json'} is of no run: expected one that")
    assert [path.name for path in tmp_path.rglob("*")] == ["run", "results.json"]


@pytest.mark.parametrize(
    ("command", "choices"),
    [("dream run=x", "hydra.run.dir"), ("train", "paths.outputs or hydra.run.dir")],
)
def test_a_command_names_only_settings_of_its_own_where_it_may_not_write(command, choices):
    """Nobody may make a folder in /sys."""
    name, *overrides = command.split()
    done = python(f"worldmodels.{name}", *overrides, "hydra.run.dir=/sys/nothing")
    (line,) = done.stderr.decode().splitlines()
    assert done.returncode == 1 and line.startswith("error: what a run leaves could not be written to /sys/nothing: ")
    assert line.endswith(f"; allow it, or choose another folder by {choices}")


def test_what_an_export_may_not_write_is_told_with_its_own_setting(tmp_path):
    with pytest.raises(Failure, match=r"; allow it, or choose another folder by to$"), writing("it", tmp_path, "to"):
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))
