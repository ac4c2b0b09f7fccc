"""Recorded rollouts from elsewhere: what they become, what they count as, and what is refused."""

import os
import pathlib

import cv2
import gymnasium
import numpy as np
import pytest

from worldmodels.envs import task_spec
from worldmodels.pipeline.stages import collect
from worldmodels.rollouts import recorded
from worldmodels.rollouts.storage import RolloutStore
from worldmodels.utils.errors import ConfigError

WIDTH = 2  # of LunarLander's actions


def episode(length=7, seed=0, size=(96, 120), extra=0):
    rng = np.random.default_rng(seed)
    return {
        "frames": rng.integers(0, 256, (length + extra, *size, 3), dtype=np.uint8),
        "actions": rng.uniform(-1, 1, (length, WIDTH)),
        "rewards": rng.normal(size=length),
        "terminated": np.arange(length) == length - 1,
        "truncated": np.zeros(length, dtype=bool),
    }


def save(folder, *episodes):
    folder.mkdir(parents=True, exist_ok=True)
    for number, each in enumerate(episodes):
        np.savez(folder / f"{number:03d}.npz", **each)
    return folder


def written(compose, source, folder, *overrides):
    config = compose("env=lunar_lander", "scale=smoke", f"collect.recorded={source}", *overrides)
    folder.mkdir(parents=True)
    return recorded.write(config, task_spec(config.env), folder), RolloutStore(folder)


def test_recordings_become_rollouts(compose, tmp_path):
    episodes = [episode(7, 0), episode(9, 1, extra=1), episode(5, 2, size=(64, 64))]
    summary, store = written(compose, save(tmp_path / "npz", *episodes), tmp_path / "out")
    assert store.lengths.tolist() == [7, 9, 5]
    for number, given in enumerate(episodes):
        for name in ("actions", "rewards"):
            np.testing.assert_array_equal(store.read(number, name), given[name].astype(np.float32))
        for name in ("terminated", "truncated"):
            np.testing.assert_array_equal(store.read(number, name), given[name])
        assert store.entries[number].total_reward == pytest.approx(given["rewards"].sum(), abs=1e-4)
    scaled = cv2.resize(episodes[1]["frames"][3], (64, 64), interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(store.read(1, "frames")[3], scaled)
    np.testing.assert_array_equal(store.read(2, "frames"), episodes[2]["frames"])  # that size already
    assert summary["coverage"] == {}
    assert (summary["rollouts"], summary["frames"]) == (3, 21)
    totals = [each["rewards"].sum() for each in episodes]
    assert summary["return_mean"] == pytest.approx(np.mean(totals), abs=1e-4)
    assert summary["return_std"] == pytest.approx(np.std(totals, ddof=1), abs=1e-4)


def test_pictures_are_cut_as_the_tasks_own(compose, tmp_path):
    """As without CarRacing's bar. Four pixels make one here, so that the oracle is a mean."""
    frames = np.zeros((3, 160, 128, 3), dtype=np.uint8)
    frames[:, 128:] = 255
    frames[:, :2, :2] = np.array([[0, 10], [20, 30]], np.uint8)[..., None]
    given = save(tmp_path / "npz", {**episode(3), "frames": frames}, {**episode(3), "frames": frames})
    _, store = written(compose, given, tmp_path / "out", "env.crop_bottom=0.2")
    expected = np.zeros((3, 64, 64, 3), np.uint8)
    expected[:, 0, 0] = 15
    np.testing.assert_array_equal(store.read(0, "frames"), expected)


def test_a_window_is_cut_from_no_recording(compose, tmp_path):
    """But frames of the agent's size may show one."""
    chosen, given = ("env=bipedal_walker", "env.view=follow"), {**episode(), "actions": np.zeros((7, 4))}
    large = save(tmp_path / "large", given, given)
    with pytest.raises(ConfigError, match=r"96×120 .*env\.view=follow .*expected frames of 64×64.*env\.view=whole"):
        written(compose, large, tmp_path / "a", *chosen)
    frames = given["frames"][:, :64, :64]
    small = save(tmp_path / "small", {**given, "frames": frames}, {**given, "frames": frames})
    _, store = written(compose, small, tmp_path / "b", *chosen)
    np.testing.assert_array_equal(store.read(0, "frames"), frames)


@pytest.mark.parametrize("shape", [(70, 80), (70, 80, 1), (64, 64)])
def test_grey_pictures_get_three_channels(compose, tmp_path, shape):
    frames = np.random.default_rng(0).integers(0, 256, (7, *shape), dtype=np.uint8)
    _, store = written(compose, save(tmp_path / "npz", {**episode(), "frames": frames}, episode()), tmp_path / "out")
    seen = store.read(0, "frames")
    assert seen.shape == (7, 64, 64, 3)
    assert (seen == seen[..., :1]).all()
    assert seen.std() > 5


def test_without_an_end_the_last_step_is_cut_off(compose, tmp_path):
    given = episode()
    del given["terminated"], given["truncated"]
    _, store = written(compose, save(tmp_path / "npz", given, given), tmp_path / "out")
    assert store.read(0, "truncated").tolist() == [False] * 6 + [True]
    assert not store.read(0, "terminated").any()


@pytest.mark.parametrize(("limit", "size"), [("frames=15", 3), ("frames=1", 2), ("rollouts=3", 3), ("rollouts=99", 5)])
def test_limits_take_the_first(compose, tmp_path, limit, size):
    episodes = [episode(7, seed) for seed in range(5)]
    overrides = ["collect.rollouts=100", f"collect.{limit}"]
    _, store = written(compose, save(tmp_path / "npz", *episodes), tmp_path / "out", *overrides)
    assert len(store) == size
    np.testing.assert_array_equal(store.read(size - 1, "rewards"), episodes[size - 1]["rewards"].astype(np.float32))


def test_what_stands_for_the_seed_follows_from_the_rollout(compose, tmp_path):
    first = save(tmp_path / "a", episode(7, 1), episode(7, 2))
    second = save(tmp_path / "b", episode(7, 2), episode(7, 1))
    seeds = [
        [entry.seed for entry in written(compose, source, tmp_path / f"out{source.name}")[1].entries]
        for source in (first, second)
    ]
    assert seeds[0] == seeds[1][::-1]
    assert len(set(seeds[0])) == 2


def test_the_files_count_and_their_place_does_not(compose, tmp_path):
    def inputs(source, *overrides):
        config = compose("env=lunar_lander", f"collect.recorded={source}", *overrides)
        return collect.STAGE.inputs(config)

    first = save(tmp_path / "a", episode(7, 1), episode(7, 2))
    key = inputs(first)
    assert key == inputs(save(tmp_path / "b", episode(7, 1), episode(7, 2)))
    assert key == inputs(first, "collect.policy=sticky", "collect.max_steps=9", "seed=3", "collect.scatter=true")
    assert key != inputs(first, "collect.rollouts=9")
    assert key != collect.STAGE.inputs(compose("env=lunar_lander"))
    save(first, episode(7, 1), episode(7, 3))
    os.utime(first / "001.npz", ns=(1, 1))
    assert key != inputs(first)


def test_the_code_of_the_reader_counts_where_it_is_used(compose, tmp_path):
    random, ours = compose("env=lunar_lander"), compose("env=lunar_lander", f"collect.recorded={tmp_path}")
    assert collect.STAGE.parts(ours) == ["worldmodels.rollouts.recorded.write"]
    assert "recorded" not in str(collect.STAGE.parts(random))
    assert "recorded" not in str(collect.HELDOUT.parts(ours))
    assert (collect.STAGE.label(ours), collect.STAGE.label(random)) == ("recorded", "sticky")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frames": None}, r"001\.npz lacks frames: expected the arrays frames, actions, rewards"),
        ({"actions": None, "rewards": None}, r"001\.npz lacks actions, rewards: expected"),
        ({"frames": np.zeros((7, 96, 96, 3), np.float32)}, r"001\.npz: frames is float32 .*: expected uint8 \(7, H, W"),
        ({"frames": np.zeros((7, 3, 96, 96), np.uint8)}, r"001\.npz: frames is uint8 \(7, 3, 96, 96\): expected uint8"),
        ({"frames": np.zeros((5, 96, 96, 3), np.uint8)}, r"001\.npz: frames is uint8 \(5, 96, 96, 3\): expected uint8"),
        ({"actions": np.zeros((7, 3))}, r"001\.npz: actions has shape \(7, 3\): expected \(7, 2\).* of lunar_lander"),
        ({"actions": np.zeros(7)}, r"001\.npz: actions has shape \(7,\): expected \(7, 2\)"),
        ({"actions": np.full((7, 2), np.nan)}, r"001\.npz: actions has values that are not finite"),
        ({"actions": np.full((7, 2), "left")}, r"001\.npz: actions is <U4: expected numbers"),
        ({"rewards": np.zeros((7, 1))}, r"001\.npz: rewards has shape \(7, 1\): expected \(T,\)"),
        ({"rewards": np.zeros(1)}, r"001\.npz: rewards has shape \(1,\): expected \(T,\), two steps at least"),
        ({"terminated": np.zeros(6, bool)}, r"001\.npz: terminated is bool \(6,\): expected bool \(7,\)"),
        ({"terminated": np.arange(7) == 3}, r"001\.npz ends at step 3 and goes on: expected one episode a file"),
        ({"rewards": np.array([{}] * 7)}, r"001\.npz cannot be read \(Object arrays cannot be loaded"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_in_a_line(compose, tmp_path, change, message):
    wrong = {name: value for name, value in {**episode(), **change}.items() if value is not None}
    with pytest.raises(ConfigError, match=message) as refused:
        written(compose, save(tmp_path / "npz", episode(), wrong), tmp_path / "out")
    assert "\n" not in str(refused.value)


def test_a_file_that_is_no_archive_is_named(compose, tmp_path):
    folder = save(tmp_path / "npz", episode())
    (folder / "broken.npz").write_bytes(b"nothing")
    with pytest.raises(ConfigError, match=r"broken\.npz cannot be read"):
        written(compose, folder, tmp_path / "out")


def test_a_folder_without_enough_is_refused(compose, tmp_path):
    with pytest.raises(ConfigError, match=r"holds 1 rollouts: expected two at least"):
        written(compose, save(tmp_path / "one", episode()), tmp_path / "out")
    with pytest.raises(ConfigError, match=r"collect\.recorded=.*nowhere is no folder: expected one with \.npz files"):
        written(compose, tmp_path / "nowhere", tmp_path / "out2")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"empty holds no \.npz files"):
        written(compose, tmp_path / "empty", tmp_path / "out3")
    with pytest.raises(ConfigError, match=r"collect\.recorded_key=image is for Dict observations"):
        written(compose, tmp_path / "one", tmp_path / "out4", "collect.recorded_key=image")


@pytest.fixture
def minari(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    return pytest.importorskip("minari", reason="the extra minari is not installed")


def make_data_set(minari, name, episodes, wrap=False):
    from minari.data_collector.episode_buffer import EpisodeBuffer

    space = gymnasium.spaces.Box(0, 255, episodes[0]["frames"].shape[1:], np.uint8)
    buffers = [
        EpisodeBuffer(
            observations={"image": each["frames"], "speed": np.zeros((len(each["frames"]), 1), np.float32)}
            if wrap
            else each["frames"],
            actions=each["actions"].astype(np.float32),
            rewards=each["rewards"],
            terminations=each["terminated"],
            truncations=each["truncated"],
        )
        for each in episodes
    ]
    speed = gymnasium.spaces.Box(-1, 1, (1,), np.float32)
    minari.create_dataset_from_buffers(
        name,
        buffers,
        action_space=gymnasium.spaces.Box(-1, 1, (WIDTH,), np.float32),
        observation_space=gymnasium.spaces.Dict(image=space, speed=speed) if wrap else space,
        jpeg_encoding=False,
    )


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("wrap", [False, True])
def test_a_minari_data_set_gives_the_same_as_its_episodes_in_files(compose, minari, tmp_path, wrap):
    episodes = [episode(7, 0, extra=1), episode(9, 1, extra=1)]
    make_data_set(minari, "mine/recorded-v0", episodes, wrap)
    key = ["collect.recorded_key=image"] if wrap else []
    folder = tmp_path / "minari" / "mine" / "recorded-v0"
    ours = files(written(compose, save(tmp_path / "npz", *episodes), tmp_path / "n"))
    expected = {path.name: path.read_bytes() for path in ours}
    for number, name in enumerate(("mine/recorded-v0", folder, folder / "data")):
        found = written(compose, f"'minari:{name}'", tmp_path / str(number), *key)
        assert {path.name: path.read_bytes() for path in files(found)} == expected
    assert recorded.digest("minari:mine/recorded-v0") == recorded.digest(f"minari:{folder}")


def files(found):
    return sorted(pathlib.Path(found[1].folder).iterdir())


@pytest.mark.filterwarnings("ignore")
def test_what_is_wrong_with_a_minari_data_set_is_said_in_a_line(compose, minari, tmp_path):
    with pytest.raises(ConfigError, match=r"is no Minari data set in .*minari download mine/none-v0"):
        written(compose, "'minari:mine/none-v0'", tmp_path / "a")
    make_data_set(minari, "mine/dict-v0", [episode(7, 0, extra=1)] * 2, wrap=True)
    for number, key in enumerate(("null", "picture")):
        with pytest.raises(ConfigError, match=r"observations of image, speed: .*set collect\.recorded_key=…"):
            written(compose, "'minari:mine/dict-v0'", tmp_path / f"b{number}", f"collect.recorded_key={key}")


def test_choices_become_one_hot(compose, tmp_path):
    """As Gymnasium's own recordings of CartPole hold them."""
    chosen = np.array([0, 1, 1, 0, 1])
    given = save(tmp_path / "npz", {**episode(5), "actions": chosen}, {**episode(5), "actions": np.eye(2)[chosen]})
    _, store = written(compose, given, tmp_path / "out", "env=cart_pole")
    for number in range(2):
        np.testing.assert_array_equal(store.read(number, "actions"), np.eye(2, dtype=np.float32)[chosen])
    for wrong, words in ((chosen + 1, r"\[2\] are no options"), (np.zeros((5, 3)), "are no options of")):
        other = save(tmp_path / "wrong", *[{**episode(5), "actions": wrong}] * 2)
        with pytest.raises(ConfigError, match=rf"000\.npz: actions: .*{words}.*: expected choices of cart_pole"):
            written(compose, other, tmp_path / f"out{wrong.ndim}", "env=cart_pole")
