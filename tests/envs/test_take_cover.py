"""Take Cover of ViZDoom."""

import multiprocessing
import os
import signal
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from worldmodels.envs import checked_spec, make_env, registry, take_cover
from worldmodels.utils.errors import ConfigError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def config(compose):
    pytest.importorskip("vizdoom", reason="needs the extra doom: pip install 'worldmodels[doom]'")
    return compose("env=take_cover").env


def episode(config, seed, held, **options):
    """Positions and rewards under actions that are held for so many steps of the game."""
    env, rng, rows = make_env(config, **options), np.random.default_rng(seed), []
    env.begin(seed)
    over = False
    while not over:
        action = env.task_spec.actions.sample(rng)
        for _ in range(held // config.action_repeat):
            reward, terminated, truncated, _ = env.advance(action)
            over = terminated or truncated
            if over:
                break
        rows.append((reward, terminated, truncated, 0 if over else env.state()[0]))
    steps = env.steps
    env.close()
    return rows, steps


def test_an_episode_follows_from_its_seed_however_it_is_stepped_and_drawn(config, compose):
    """In a game of its own or in one that has been played, an action repeated by the game or by us."""
    rows, steps = episode(config, 1, 4)
    single = compose("env=take_cover", "env.action_repeat=1").env
    assert episode(config, 1, 4) == (rows, steps)
    assert episode(config, 1, 4, drawn=False) == (rows, steps)
    ours, single_steps = episode(single, 1, 4)
    assert [row[3] for row in ours] == [row[3] for row in rows] and single_steps == steps
    assert sum(row[0] for row in rows) == steps > 60 and rows[-1][1:3] == (True, False)


def test_frames_and_the_true_state(config):
    spec = checked_spec(config)
    assert (spec.action_size, spec.outputs, spec.fps) == (3, 1, 35 / 4)
    env = make_env(config, max_steps=59)
    frame, _ = env.reset(seed=0)
    assert frame.shape == (64, 64, 3) and frame.std() > 5
    left, right = np.float32([1, 0, 0]), np.float32([0, 0, 1])
    start = env.state()
    assert start[0] == 384 and start[2] == 100 and start[3] >= 2 and start[4] == 0 and start[5] == 480
    for _ in range(3):
        env.step(left)
    assert env.state()[0] > 384 + 5 and env.state()[1] > 0
    for _ in range(4):
        env.step(right)
    assert env.state()[1] < 0
    ends = [env.step(right)[2:4] for _ in range(8)]
    assert ends[-1] == (False, True) and ends[-2] == (False, False) and env.steps == 59
    assert env.render_mode is None
    env.close()


def test_a_limit_of_the_game_is_no_end(compose, config):
    env = make_env(compose("env=take_cover", "env.kwargs={episode_timeout: 18}").env)
    env.begin(seed=0)
    outcomes = [env.advance(np.float32([0, 1, 0]))[:3] for _ in range(5)]
    assert outcomes[-2:] == [(4.0, False, False), (2.0, False, True)]
    env.close()


def test_a_game_leaves_nothing_behind(config, tmp_path):
    code = (
        "from worldmodels.config import Config; from worldmodels.envs import make_env\n"
        "from worldmodels.envs.config import EnvConfig\n"
        f"config = EnvConfig(id={config.id!r}, name='take_cover', task={config.task!r}, picture='screen')\n"
        "env = make_env(config); env.reset(seed=0); env.close(); env = make_env(config); env.reset(seed=0)"
    )
    (tmp_path / "temporary").mkdir()
    environment = {**os.environ, "TMPDIR": str(tmp_path / "temporary")}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), environment.get("PYTHONPATH", "")])
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["temporary"]
    assert not list((tmp_path / "temporary").iterdir())


def played(config, pipe):
    """A worker that leaves one game idle and another one under way."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    games = [make_env(config), make_env(config)]
    for game in games:
        game.reset(seed=0)
    games[0].close()
    maps = Path("/proc/self/maps").read_text().splitlines()
    pipe.send({line.split(maxsplit=5)[5] for line in maps if "/dev/shm/ViZDoom" in line})
    pipe.recv()


@pytest.mark.skipif(sys.platform != "linux", reason="looks at Linux's shared memory")
@pytest.mark.parametrize("terminated", [False, True])
def test_neither_does_a_worker_that_ends_or_is_terminated(config, tmp_path, monkeypatch, terminated):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    worker = context.Process(target=played, args=(config, theirs))
    worker.start()
    shared = ours.recv()
    assert shared and all(Path(each).exists() for each in shared) and len(list(tmp_path.iterdir())) == 1
    if terminated:
        worker.terminate()
    else:
        ours.send(None)
    worker.join(60)
    assert worker.exitcode == (128 + signal.SIGTERM if terminated else 0)
    assert not [each for each in shared if Path(each).exists()]
    assert not list(tmp_path.iterdir())


def test_only_the_folder_of_a_process_that_is_gone_is_removed(tmp_path):
    fcntl = pytest.importorskip("fcntl")
    for name in ("held", "left", "without"):
        (tmp_path / name).mkdir()
    with (tmp_path / "held" / take_cover.LOCK).open("w") as held, (tmp_path / "left" / take_cover.LOCK).open("w"):
        fcntl.flock(held, fcntl.LOCK_EX)
        assert [take_cover._left(tmp_path / name) for name in ("held", "left", "without")] == [False, True, False]


def test_without_the_extra_a_line_says_what_to_install(compose, monkeypatch):
    def missing(name):
        raise ModuleNotFoundError(f"No module named '{name.partition('.')[0]}'")

    configs = {extra: compose(f"env={env}").env for env, extra in (("take_cover", "doom"), ("pong", "atari"))}
    monkeypatch.setattr(registry, "importlib", types.SimpleNamespace(import_module=missing))
    for extra, env in configs.items():
        with pytest.raises(ConfigError, match=rf"run pip install 'worldmodels\[{extra}\]'"):
            registry.registered(env)
