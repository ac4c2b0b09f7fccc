"""The evaluate stage."""

import contextlib
import dataclasses
import errno
import functools
import json
import shutil

import cv2
import gymnasium
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from windows import followed

import worldmodels as wm
from worldmodels.config import config_from_json, config_to_json
from worldmodels.controller.agent import Agent, AgentEpisodes, controller_size
from worldmodels.envs import PixelEnv, task_spec
from worldmodels.factory import make_memory, make_vision
from worldmodels.pipeline import filming
from worldmodels.pipeline.stages import evaluate
from worldmodels.rollouts.engine import Episode
from worldmodels.rollouts.executor import SerialExecutor
from worldmodels.store.journal import Journal
from worldmodels.store.results import score_line
from worldmodels.transfer.weights import save_weights
from worldmodels.utils.errors import Failure
from worldmodels.utils.seeds import generator

STEPS = 12
RENDERERS = ("gymnasium", "exact", "fast")


class Backwards:
    """An executor that knows the results beforehand, and gives the last item's first; ``lasts`` for so many."""

    def __init__(self, value, lasts=None):
        self.value, self.lasts, self.asked = value, lasts, []

    def map(self, work, items):
        for item in reversed(list(items)):
            if self.lasts is not None and len(self.asked) == self.lasts:
                raise KeyboardInterrupt
            self.asked.append(item.label)
            yield item, self.value(item)


@pytest.fixture
def composed(compose):
    return functools.partial(
        compose,
        *("env=lunar_lander", "scale=smoke", "vae.network.latent_size=4", "memory.network.hidden_size=6"),
        *("trainer.precision=32-true", f"evaluate.max_steps={STEPS}"),
    )


@pytest.fixture
def files(composed, tmp_path):
    """V, M and C."""
    return saved(composed(), 2, tmp_path)


def saved(config, actions, folder, size=3.0):
    rng = np.random.default_rng(0)
    paths = tuple(folder / f"{part}.safetensors" for part in ("vision", "memory", "controller"))
    save_weights(make_vision(config), paths[0])
    save_weights(make_memory(config, actions), paths[1])
    save_file({name: size * rng.normal(size=controller_size(config, actions)) for name in ("mean", "best")}, paths[2])
    return paths


@pytest.fixture
def journal(tmp_path):
    return Journal(tmp_path / "artifact", None, "evaluate")


def returns_of(journal, contestant):
    """By episode."""
    return {
        row["episode"]: row[f"return_{contestant}"] for row in journal.rows("episodes") if f"return_{contestant}" in row
    }


def all_of_it(picture, world):
    return picture


def played_by_hand(config, files, parameters, seed, seen=all_of_it):
    """Return and frames of an agent in Gymnasium's own task with Gymnasium's own pictures."""
    env = gymnasium.make(config.env.id, render_mode="rgb_array", **config.env.kwargs)
    agent = Agent(config, task_spec(config.env), *files[:2])
    agent.begin(0, parameters)
    env.reset(seed=seed)
    total, frames = 0.0, []
    for _ in range(STEPS):
        picture = seen(env.render(), env.unwrapped)
        frames.append(cv2.resize(picture, (64, 64), interpolation=cv2.INTER_AREA))
        total += float(env.step(agent.act([0], frames[-1][None])[0])[1])
    env.close()
    return total, frames


def random_by_hand(config, number, seed, cut):
    """Return of the uniform random policy, with a picture after each step, as if somebody looked."""
    env = gymnasium.make(config.env.id, render_mode="rgb_array", **config.env.kwargs)
    box, rng = env.action_space, generator(config.seed, "evaluate", 1, number)
    env.reset(seed=seed)
    total, steps, done = 0.0, 0, False
    while not done:
        env.render()
        _, reward, terminated, truncated, _ = env.step(rng.uniform(box.low, box.high).astype(np.float32))
        total, steps = total + float(reward), steps + 1
        done = terminated or truncated or steps == cut
    env.close()
    return total


@pytest.mark.parametrize("renderer", RENDERERS)
def test_the_score_is_that_of_gymnasiums_pictures_however_the_agent_was_trained(composed, files, journal, renderer):
    """Nor does a search's patience cut it."""
    config = composed(f"env.renderer={renderer}", "controller.patience=1", "executor.slots=3")
    summary = evaluate.run(config, *files, SerialExecutor(), journal)
    assert len(set(summary["seeds"])) == 2
    for name in ("mean", "best"):
        parameters = load_file(files[2])[name]
        expected = [played_by_hand(config, files, parameters, seed)[0] for seed in summary["seeds"]]
        assert returns_of(journal, name) == {1: expected[0], 2: expected[1]}
    assert summary["mean"] == pytest.approx(np.mean(list(returns_of(journal, "mean").values())))
    assert summary["best"]["mean"] == pytest.approx(np.mean(list(returns_of(journal, "best").values())))


def test_an_agent_that_sees_a_window_is_scored_with_gymnasiums_picture_cut(composed, tmp_path, journal):
    """And the score is official: the task is the same."""
    config = composed("env=bipedal_walker", "env.view=follow")
    files = saved(config, 4, tmp_path, size=0.1)  # so that no action is at its bounds
    summary = evaluate.run(config, *files, SerialExecutor(), journal)
    parameters = load_file(files[2])["mean"]
    views = {
        view: [played_by_hand(config, files, parameters, seed, view)[0] for seed in summary["seeds"]]
        for view in (followed, all_of_it)
    }
    assert summary["returns"] == views[followed] != views[all_of_it]
    assert summary["unofficial"] == f"episodes end after {STEPS} steps"


def test_other_pictures_would_give_another_score(composed, files):
    """Otherwise the test above could not tell."""
    config = composed("env.renderer=fast")
    parameters = load_file(files[2])["mean"]
    work = AgentEpisodes(config_to_json(config), *files[:2], STEPS, slots=1)
    [(_, value)] = SerialExecutor().map(work, [Episode("any", 3, parameters)])
    assert value != played_by_hand(config, files, parameters, 3)[0]


@pytest.mark.parametrize(("task", "cut"), [("lunar_lander", None), ("car_racing", 30), ("bipedal_walker", 120)])
def test_the_random_agent_does_not_look_and_scores_as_if_it_did(compose, monkeypatch, task, cut):
    def look(self):
        raise AssertionError("a frame was drawn")

    monkeypatch.setattr(PixelEnv, "look", look)
    config = compose(f"env={task}", "env.renderer=gymnasium", "seed=4")
    episodes = [Episode(("random", i), 70 + i, i) for i in range(4)]
    expected = {i: random_by_hand(config, i, 70 + i, cut) for i in range(4)}
    assert len(set(expected.values())) == 4
    for slots in (1, 3):
        work = evaluate.RandomEpisodes(config_to_json(config), cut, slots)
        assert {episode.label[1]: value for episode, value in SerialExecutor().map(work, episodes)} == expected


def test_the_random_agent_of_a_run_plays_the_same_episodes(composed, files, journal):
    config = composed("env.renderer=gymnasium")
    seeds = evaluate.run(config, *files, SerialExecutor(), journal)["seeds"]
    expected = {i + 1: random_by_hand(config, i, seed, STEPS) for i, seed in enumerate(seeds)}
    assert returns_of(journal, "random") == expected


def value_of(episode):
    name, number = episode.label
    return {"mean": 0.0, "best": 100.0, "random": -100.0}[name] + number


@pytest.mark.parametrize("lasts", [0, 1, 5, 8, 11])
def test_an_interrupted_evaluation_goes_on_and_scores_everyone_by_their_own_episodes(composed, files, journal, lasts):
    config = composed("evaluate.episodes=4")
    before, after = Backwards(value_of, lasts), Backwards(value_of)
    with pytest.raises(KeyboardInterrupt):
        evaluate.run(config, *files, before, journal)
    summary = evaluate.run(config, *files, after, journal)
    assert (len(before.asked), len(after.asked)) == (lasts, 12 - lasts)
    assert len({*before.asked, *after.asked}) == 12
    assert summary["returns"] == [0.0, 1.0, 2.0, 3.0]
    assert summary["best"]["returns"] == [100.0, 101.0, 102.0, 103.0]
    assert summary["random"]["returns"] == [-100.0, -99.0, -98.0, -97.0]
    again = Backwards(value_of)
    assert evaluate.run(config, *files, again, journal) == summary
    assert again.asked == []


@pytest.mark.parametrize(
    ("overrides", "why"),
    [
        (("evaluate.max_steps=null",), None),
        (("evaluate.max_steps=null", "env.renderer=exact", "env.action_repeat=2"), None),
        ((f"evaluate.max_steps={STEPS}",), f"episodes end after {STEPS} steps"),
        (("evaluate.max_steps=null", "+env.kwargs.gravity=-9.0"), "env.kwargs.gravity=-9.0"),
        (("evaluate.max_steps=null", "env.id=Mine-v0"), "env.id=Mine-v0"),
        (("evaluate.max_steps=null", "~env.kwargs.continuous"), "without env.kwargs.continuous"),
        (
            ("evaluate.max_steps=30", "+env.kwargs.enable_wind=true"),
            "episodes end after 30 steps, env.kwargs.enable_wind",
        ),
    ],
)
def test_a_score_is_official_of_whole_episodes_of_the_task_as_it_ships(composed, overrides, why):
    found = evaluate.why_unofficial(composed(*overrides))
    assert found == why or (found and why and found.startswith(why))


def test_no_arguments_are_the_own_ones_of_a_task_without_a_file(composed):
    config = composed("evaluate.max_steps=null")
    config.env = dataclasses.replace(config.env, name="mine", kwargs={})
    assert evaluate.why_unofficial(config) is None
    config.env.kwargs = {"speed": 2}
    assert evaluate.why_unofficial(config) == "env.kwargs.speed=2"


def test_whether_a_score_is_official_depends_on_the_run_and_not_on_the_call(composed, tmp_path):
    """A task with arguments of its own, from a folder that only the run's start knew."""
    (tmp_path / "own" / "env").mkdir(parents=True)
    own = "name: mine\nid: Mine-v0\nkwargs: {speed: 2}\n"
    (tmp_path / "own" / "env" / "mine.yaml").write_text(own)
    noted = wm.compose("env=mine", "evaluate.max_steps=null", config_dir=tmp_path / "own")
    assert noted.env.shipped == {"id": "Mine-v0", "kwargs": {"speed": 2}}
    shutil.rmtree(tmp_path)
    kept = config_from_json(config_to_json(noted))
    assert evaluate.why_unofficial(kept) is None
    kept.env.kwargs = {"speed": 3}
    assert evaluate.why_unofficial(kept) == "env.kwargs.speed=3"


def test_what_is_noted_of_the_tasks_file_counts_in_no_key(composed):
    config = composed("evaluate.max_steps=null")
    noted = dataclasses.replace(config, env=dataclasses.replace(config.env, shipped={"id": "Mine-v0"}))
    assert evaluate.STAGE.inputs(noted) == evaluate.STAGE.inputs(config)


def test_what_is_not_official_is_said_in_the_summary_and_its_line(composed, files, journal):
    config = composed("evaluate.max_steps=null", "+env.kwargs.gravity=-9.0")
    summary = evaluate.run(config, *files, Backwards(value_of), journal)
    assert summary["official"] is False
    assert "(not the official task: env.kwargs.gravity=-9.0)" in score_line(summary)
    summary = evaluate.run(composed("evaluate.max_steps=null"), *files, Backwards(value_of), journal)
    assert summary["official"] is True and "official" not in score_line(summary)


def test_the_episodes_of_an_agent_depend_on_its_task_and_its_code_and_not_on_their_number(composed):
    same = evaluate.episodes_of(composed())
    assert same == evaluate.episodes_of(composed("evaluate.episodes=7", "env.renderer=exact"))
    assert json.loads(json.dumps(same)) == same
    for change in ("+env.kwargs.gravity=-9.0", "seed=1", "env.action_repeat=2"):
        assert same != evaluate.episodes_of(composed(change))


def test_a_film_that_fails_is_a_warning_and_an_interrupt_is_not(composed, files, journal, monkeypatch, caplog):
    def film(what):
        def fail(*_):
            raise what

        monkeypatch.setattr(filming, "film", fail)
        filming.try_film(composed(), 0, *files, journal, contextlib.nullcontext())

    film(Failure("ffmpeg is missing"))
    film(OSError(errno.ENOSPC, "No space left on device"))
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 2
    assert "the score stands: ffmpeg is missing" in caplog.text
    assert "the film episode.mp4 could not be written to" in caplog.text and "Traceback" not in caplog.text
    film(ZeroDivisionError("a bug of a task's render()"))
    assert "a bug of a task's render()" in caplog.text
    with pytest.raises(KeyboardInterrupt):
        film(KeyboardInterrupt())


def test_the_film_shows_the_first_episode_as_it_was_scored(composed, files, journal, monkeypatch):
    config, shown = composed("env.renderer=fast"), []
    picture = filming.picture
    monkeypatch.setattr(filming, "picture", lambda *parts: shown.append(parts) or picture(*parts))
    score = evaluate.run(config, *files, SerialExecutor(), journal)
    seeds = score["seeds"]
    journal.folder.joinpath("episode.mp4").write_bytes(b"broken")
    official = evaluate.official(config)
    filming.try_film(official, seeds[0], *files, journal, contextlib.nullcontext())
    _, frames = played_by_hand(config, files, load_file(files[2])["mean"], seeds[0])
    films = [parts[0] for parts in shown]
    assert len(films) == STEPS // 2  # 25 pictures a second of 50
    assert [parts[1] for parts in shown] == list(range(1, STEPS, 2))
    assert shown[-1][2] == pytest.approx(score["returns"][0], abs=3)  # all but the last step's reward
    for (picture, frame, seen), expected in zip(films, frames[::2], strict=True):
        np.testing.assert_array_equal(frame, expected)
        assert picture.shape == (400, 600, 3)
        assert seen.shape == (64, 64, 3)
    assert filming.there(journal.folder)
    shown.clear()
    filming.try_film(official, seeds[0], *files, journal, contextlib.nullcontext())
    assert shown == []  # it is there
