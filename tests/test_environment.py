"""Commands where the world is not as it should be: locales, streams, disks, ffmpeg, signals."""

import ast
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers import ROOT, Commands, Finished, ended, wait_for
from warm import Warm

import worldmodels
from worldmodels.reports.tidy import find_runs
from worldmodels.utils import media
from worldmodels.utils.errors import ConfigError

SMALL = ("scale=smoke", "env=lunar_lander", "executor=serial", "trainer=cpu", "trainer.threads=1", "stage=collect")
SMALL += ("collect.rollouts=2", "collect.max_steps=20")


def results(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text(encoding="utf-8")) for path in folder.rglob("results.json")]


@pytest.mark.slow
def test_a_folder_with_letters_that_the_locale_lacks(tmp_path: Path) -> None:
    folder = tmp_path / "dössier"
    folder.mkdir()
    locale = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"}
    done = subprocess.run(  # a new interpreter, which is what reads the locale
        [sys.executable, "-m", "worldmodels.train", *SMALL],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **locale},
        capture_output=True,
        timeout=300,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert f"results: {folder}" in done.stdout.decode()
    assert len(results(folder)) == 1


@pytest.mark.slow
def test_a_folder_whose_name_is_not_utf8_is_refused_before_anything_is_made(tmp_path: Path, warm: Warm) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path / "out") + b"\xff"))
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("this file system has UTF-8 names alone")
    *before, line = ended(warm.start(("-m", "worldmodels.train", *SMALL), folder), expect=2).splitlines()
    assert not any("rror" in told for told in before)
    assert line.startswith("error: the folder ") and "expected UTF-8; rename the folder" in line
    assert list(folder.iterdir()) == []
    ended(warm.start(("-m", "worldmodels.train", *SMALL, "logger=none"), folder))
    assert len(results(folder)) == 1


@pytest.mark.slow
def test_no_reader_and_no_standard_error(tmp_path: Path) -> None:
    """In a new interpreter, whose libraries find none when they are imported."""
    shell = ("bash", "-c", '"$@" 2>&- | head -1; exit "${PIPESTATUS[0]}"', "bash")
    done = subprocess.run(
        [*shell, sys.executable, "-m", "worldmodels.train", *SMALL],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        timeout=300,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert len(done.stdout.splitlines()) == 1
    assert len(results(tmp_path)) == 1
    (log,) = tmp_path.rglob("train.log")
    assert "return" in log.read_text(encoding="utf-8") and " ± " in log.read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["serial", "process"])
def test_no_room(executor: str, tmp_path: Path, warm: Warm) -> None:
    ask = ("-m", "worldmodels.train", *SMALL, f"executor={executor}", "executor.workers=1")
    lines = ended(warm.start(ask, tmp_path, largest_file=5000), expect=1).splitlines()
    assert lines[-1].startswith("error: ") and "could not be written to" in lines[-1] and "make room" in lines[-1]
    assert not any("Traceback" in line for line in lines)
    assert not list(tmp_path.rglob("*.h5")) and not list(tmp_path.rglob("*.partial"))
    assert results(tmp_path) == []
    ended(warm.start(ask, tmp_path))
    assert len(results(tmp_path)) == 1


@pytest.mark.slow
def test_without_ffmpeg_scores_and_figures_are_kept(
    finished: Callable[[str], Finished], commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `train` does is in tests/store/test_results.py."""
    run = finished("lunar_lander").copied(commands)
    with monkeypatch.context() as patch:
        patch.setenv("IMAGEIO_FFMPEG_EXE", "/bin/false")
        ask = (f"run={run}", "episodes=2", "video=true", "workers=1")
        output = commands.run("evaluate", *ask)
        assert "no film, and the score stands: episode.mp4 could not be made" in output
        (score,) = run.glob("evaluations/*/evaluation.json")
        output = commands.run("dream", f"run={run}", "steps=20", "temperature=0.8", expect=1)
    assert output.splitlines()[-1].startswith("error: dream.mp4 could not be made") and "Traceback" not in output
    (dream,) = run.glob("dreams/*/dream.json")
    assert sorted(path.name for path in dream.parent.glob("dream*")) == ["dream.gif", "dream.json", "dream.log"]

    output = commands.run("evaluate", *ask)
    assert "going on after 6 of 6 episodes" in output
    later = [path for path in run.glob("evaluations/*/evaluation.json") if path != score]
    assert [json.loads(path.read_text()) for path in later] == [json.loads(score.read_text())]
    assert media.playable(later[0].with_name("episode.mp4"))


@pytest.mark.slow
def test_ctrl_c_in_a_parallel_sweep_is_told_in_a_line(commands: Commands) -> None:
    sweep = ("-m", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "seed=0,1,2", "collect.rollouts=5000")
    process = commands.start("train", *commands.options(*sweep, "env=lunar_lander", "stage=collect"))
    wait_for(lambda: len(list(commands.outputs.glob("artifacts/collect/*.building/000003.h5"))) == 2, process)
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 130
    assert output.splitlines()[-1].startswith("interrupted: ")
    assert "Traceback" not in output and "KeyboardInterrupt" not in output


SLURM = {"JOB_ID": "1", "JOB_NAME": "x", "PROCID": "0", "LOCALID": "0", "NODEID": "0"}
TRAINING = (*(each for each in SMALL if not each.startswith("stage=")), "stage=vision", "vae.epochs=1", "logger=none")
READABLE_BY_ALL = all(
    folder.stat().st_mode & 0o005 == 0o005
    for place in (Path(pytest.__file__), ROOT / "tests")
    for folder in place.resolve().parents
    if folder != folder.parent
)
NOBODY = """
import os, runpy, sys
os.chdir(sys.argv.pop(1))
os.setgid(54321), os.setuid(54321)
for name in ("HOME", "USER", "LOGNAME"):
    os.environ.pop(name, None)
runpy.run_module("worldmodels.train", run_name="__main__", alter_sys=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("devices", "tasks"), [("", "1"), ("-1", "4"), ("GPU-8932f937-d72c-4106-c12f-20bd9faed9f6", "4")]
)
def test_a_schedulers_task_without_a_home_in_a_folder_of_any_name(
    devices: str, tasks: str, tmp_path: Path, warm: Warm
) -> None:
    """Slurm's variables, no GPU in sight, a long folder of temporary files that is not there, and no HOME."""
    folder = tmp_path / "a b=c[1],{ö}"
    folder.mkdir()
    slurm = {f"SLURM_{name}": value for name, value in {**SLURM, "NTASKS": tasks}.items()}
    odd = {"CUDA_VISIBLE_DEVICES": devices, "TMPDIR": str(tmp_path / ("long" * 30)), "HOME": "/nonexistent"}
    ended(warm.start(("-m", "worldmodels.train", *TRAINING), folder, {**slurm, **odd}))
    (result,) = results(folder)
    assert result["vision"]["epochs"][0]["epoch"] == 1
    (artifact,) = folder.glob("outputs/artifacts/vision/*/")
    assert {path.name for path in artifact.iterdir()} == {"manifest.json", "record", "weights.safetensors"}


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "setuid") or os.getuid() != 0, reason="only a superuser becomes somebody else")
@pytest.mark.skipif(not READABLE_BY_ALL, reason="others may not enter the folders of the packages or of the checkout")
def test_a_user_whom_the_system_does_not_know_trains_with_a_package_to_read_only(warm: Warm) -> None:
    folder = Path(tempfile.mkdtemp(dir="/tmp"))  # which others may enter, unlike pytest's own
    try:
        folder.chmod(0o777)
        (folder / "script.py").write_text(NOBODY)
        ended(warm.start([str(folder / "script.py"), str(folder), *TRAINING], ROOT))
        (result,) = results(folder)
        assert result["vision"]["epochs"] and (folder / "outputs").stat().st_uid == 54321
    finally:
        shutil.rmtree(folder)


@pytest.mark.parametrize("pattern", ["a[1]", "a[1]/**", "a[1]/x*", "*", "a[[]1]/**"])
def test_a_report_takes_a_path_that_exists_as_it_is_written(
    pattern: str, compose: Callable[..., Any], tmp_path: Path
) -> None:
    from synthetic import write_run

    run = write_run(tmp_path, compose("env=lunar_lander", "scale=smoke"))
    (tmp_path / "a[1]" / "x").mkdir(parents=True)
    target = tmp_path / "a[1]" if pattern in ("a[1]", "*") else tmp_path / "a[1]" / "x"
    (run / "results.json").rename(target / "results.json")
    runs, problems = find_runs(str(tmp_path / pattern))
    assert ([run.folder for run in runs], problems) == ([target], [])
    with pytest.raises(ConfigError):
        find_runs(str(tmp_path / "a[2]" / "**"))


def text_files() -> Iterator[tuple[Path, ast.Call, str]]:
    """Every call that opens a file in the package, and its mode."""
    for path in Path(worldmodels.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                whole = ast.unparse(node.func)
                if name in ("read_text", "write_text") or (name == "open" and whole not in ("os.open", "Image.open")):
                    given = [
                        *node.args[whole == "open" :],
                        *(each.value for each in node.keywords if each.arg == "mode"),
                    ]
                    mode = given[0].value if given and isinstance(given[0], ast.Constant) else "r"
                    yield path, node, "" if name != "open" else str(mode)


def test_no_text_file_depends_on_the_locale() -> None:
    found = list(text_files())
    assert len(found) > 5
    for path, node, mode in found:
        told = any(keyword.arg == "encoding" for keyword in node.keywords)
        assert told or "b" in mode, f"{path}:{node.lineno} opens a text file in the encoding of the locale"
