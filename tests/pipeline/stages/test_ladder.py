"""C's that know the true state, or act on a read-out of it: the rungs of the ladder."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import worldmodels as wm
from worldmodels.config import conf_dir, config_to_json, plain
from worldmodels.controller.agent import Agent, AgentEpisodes, known_size
from worldmodels.controller.coordinates import LOOK
from worldmodels.controller.inputs import privileged
from worldmodels.controller.policy import Shape
from worldmodels.controller.scaling import Scaling
from worldmodels.controller.warm_start import Source, first_covariance, first_parameters
from worldmodels.envs import make_env, task_class, task_spec
from worldmodels.factory import make_memory, make_vision
from worldmodels.pipeline import searching
from worldmodels.pipeline.stages import collect, controller, encode, evaluate
from worldmodels.rollouts.engine import Episode, Items, play
from worldmodels.rollouts.executor import SerialExecutor
from worldmodels.store.journal import Journal
from worldmodels.transfer.weights import save_weights
from worldmodels.vision.look import Look

RUNGS = sorted(path.stem for path in (conf_dir() / "rung").glob("*.yaml"))
SMALL = (
    *("env=lunar_lander", "scale=smoke", "vae=cvae", "vae.network.latent_size=4", "memory.network.hidden_size=6"),
    *("trainer.precision=32-true", "controller.max_steps=6", "controller.generations=1", "evaluate.max_steps=6"),
    *("evaluate.episodes=1", "collect.max_steps=6", "executor.slots=4"),
)


@pytest.fixture(scope="module")
def small(compose, tmp_path_factory):
    """Fresh V and M, a few rollouts, and the same as V sees them."""
    folder, config = tmp_path_factory.mktemp("small"), compose(*SMALL)
    vision, memory = folder / "vision.safetensors", folder / "memory.safetensors"
    save_weights(make_vision(config), vision)
    save_weights(make_memory(config, 2), memory)
    for name in ("dataset", "encoded"):
        (folder / name).mkdir()
    collect.run(config, SerialExecutor(), folder / "dataset")
    encode.run(config, folder / "dataset", vision, folder / "encoded")
    return vision, memory, folder / "encoded", folder / "dataset"


@pytest.mark.parametrize("rung", RUNGS)
def test_every_rung_searches_and_is_scored(rung, compose, small, tmp_path):
    config = compose(*SMALL, f"rung={rung}")
    vision, memory, encoded, dataset = small
    parents = controller.STAGE.parents(config)
    models = vision if "vision" in parents else None, memory if "memory" in parents else None
    rollouts = encoded if "encoded" in parents else None, dataset if "dataset" in parents else None
    journal = Journal(tmp_path, None, "controller")
    summary = searching.run(config, *models, 2, None, SerialExecutor(), tmp_path, journal, *rollouts)
    searched = 8 if privileged(config.controller) else 10 if "memory" in parents else 4
    assert summary["parameters"] == 2 * (searched + 1)
    weights = tmp_path / "weights.safetensors"
    inputs = {"state": 8}.get(rung, 10 if "memory" in parents else 4)
    assert load_file(weights)["agent"].shape == (2 * (inputs + 1),)
    (tmp_path / "score").mkdir()
    score = evaluate.run(config, *models, weights, SerialExecutor(), Journal(tmp_path / "score", None, "evaluate"))
    reason = privileged(config.controller)
    assert not score["official"] and (reason is None) == ("state" not in score["unofficial"])
    again = searching.run(config, *models, 2, None, SerialExecutor(), tmp_path, journal, *rollouts)
    assert again["generations"] == summary["generations"]


@pytest.mark.parametrize(
    ("hidden", "on_readout", "on_inputs"),
    [("null", 2 * (20 + 1), 2 * (10 + 1)), ("3", 3 * (20 + 1) + 2 * (3 + 1), 3 * (10 + 1) + 2 * (3 + 1))],
)
def test_a_search_on_what_the_pictures_show_goes_on_with_another_memory(
    hidden, on_readout, on_inputs, compose, small, tmp_path
):
    """C's weights on the read-out keep their meaning when M, and so the read-out, is another one."""
    config = compose(*SMALL, "controller=salience", f"controller.hidden={hidden}")
    vision, memory, encoded, dataset = small
    assert privileged(config.controller) is None
    assert controller.STAGE.parents(config).keys() == {"vision", "memory", "encoded", "dataset"}
    folders = [tmp_path / "first", tmp_path / "second"]
    source, agents = None, []
    for seed, folder in enumerate(folders):
        folder.mkdir()
        if seed:
            save_weights(make_memory(compose(*SMALL, "seed=1"), 2), folder / "memory.safetensors")
            memory = folder / "memory.safetensors"
        journal, models = Journal(folder, None, "controller"), (vision, memory, 2, source)
        summary = searching.run(config, *models, SerialExecutor(), folder, journal, encoded, dataset)
        assert summary["parameters"] == on_readout
        agents.append(load_file(folder / "weights.safetensors"))
        assert agents[-1]["agent"].shape == (on_inputs,) and agents[-1]["on_readout"].shape == (on_readout,)
        source = Source(folder / "weights.safetensors", 2)
    looks, readouts = (
        [load_file(folder / f"{name}.safetensors") for folder in folders] for name in ("look", "readout")
    )
    for name, values in looks[0].items():
        np.testing.assert_array_equal(looks[1][name], values)
    assert not np.allclose(readouts[0]["weights"][:, 4:], readouts[1]["weights"][:, 4:]), "h is another one's"
    scaling = Scaling.none(Shape(20, 2))
    np.testing.assert_array_equal(first_parameters(source, config, 2), agents[1]["on_readout"])
    np.testing.assert_array_equal(first_covariance(source, config, scaling), agents[1]["covariance"])
    assert first_parameters(Source(source.weights, 3), config, 2) is None
    earlier = tmp_path / "earlier.safetensors"  # of a search on fewer numbers
    save_file({**agents[1], "on_readout": agents[1]["on_readout"][2:]}, earlier)
    assert first_parameters(Source(earlier, 2), config, 2) is None
    config.controller.warm_start = "mean"
    assert first_covariance(source, config, scaling) is None


def test_a_c_that_starts_from_nothing_looks_for_itself(compose, small, tmp_path):
    """A source with other actions is of another task, where other colours are usual."""
    config = compose(*SMALL, "controller=salience")
    vision, memory, encoded, dataset = small
    looks, source = [], None
    for name in ("first", "second"):
        (folder := tmp_path / name).mkdir()
        models = (vision, memory, 2, source)
        searching.run(config, *models, SerialExecutor(), folder, Journal(folder, None, "controller"), encoded, dataset)
        looks.append(Look.load(folder / LOOK))
        Look(looks[0].table * 0, looks[0].mean, looks[0].components).save(folder / LOOK)
        source = Source(folder / "weights.safetensors", 3)
    np.testing.assert_array_equal(looks[1].table, looks[0].table)


def test_the_rungs_are_the_ladder_s(compose):
    frozen = {"random_memory": ["memory"], "random_vision": ["vision"]}
    for rung in RUNGS:
        config = compose("scale=quick", f"rung={rung}")
        assert not config.controller.phases
        assert config.transfer.freeze_random == frozen.get(rung, [])
        assert config.controller.readout == ("state" if rung.startswith("readout") else None)
        assert (privileged(config.controller) is None) == (rung in ("zh", "z", *frozen))


@pytest.mark.parametrize(("task", "size"), [("lunar_lander", 8), ("bipedal_walker", 24), ("car_racing", 5)])
def test_a_c_that_knows_reads_the_very_state_of_the_task(task, size, compose):
    config = compose(f"env={task}", "controller.inputs=[state]", "controller.phases=[]")
    assert known_size(config) == size
    env, read = make_env(config.env, max_steps=4, drawn=False), []

    class Reader(Agent):
        def act(self, slots, frames, known=None):
            assert frames.size == 0, "it sees nothing"
            read.append(known[0])
            return super().act(slots, frames, known)

    spec = task_spec(config.env)
    player = Reader(config, spec, None, None)
    parameters = np.random.default_rng(0).normal(size=spec.outputs * (size + 1)) / 10

    def short():
        return make_env(config.env, max_steps=4, drawn=False)

    [(_, played)] = play(Items(iter([Episode(0, 3, parameters)])), short, player, 1, record=False)
    env.begin(3)
    for values in read:
        states = env.state()[None]
        task_of = task_class(config.env)
        names = task_of.acted_on or task_of.state_names
        expected = [task_of.target(states, name)[0] for name in names]
        np.testing.assert_array_equal(values, np.float32(expected))
        outputs = parameters[: -spec.outputs].reshape(spec.outputs, size) @ values.astype(np.float64)
        env.advance(spec.actions.decide(outputs[None] + parameters[-spec.outputs :])[0])
    assert played.steps == env.steps == 4
    env.close()


@pytest.mark.parametrize(("hidden", "size"), [("null", 18), ("5", 5 * 9 + 2 * 6)])
def test_the_return_of_a_c_that_knows_is_that_of_any_number_of_slots(compose, hidden, size):
    config = compose("env=lunar_lander", "controller.inputs=[state]", f"controller.hidden={hidden}")
    rng = np.random.default_rng(0)
    episodes = [Episode(i, i, rng.normal(size=size)) for i in range(3)]
    returns = []
    for slots in (1, 3):
        work = AgentEpisodes(config_to_json(config), None, None, 30, slots)
        returns.append({episode.label: value for episode, value in work(Items(iter(episodes)))})
    assert returns[0] == returns[1] and len(set(returns[0].values())) == 3


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["controller.inputs=[state,z]"], r"is unknown: expected \[z\], \[z,h\] or \[z,h,c\], or \[state\]"),
        (
            ["controller.inputs=[state]", "controller.readout=state"],
            "controller.readout=state reads out of what C sees",
        ),
        (["controller.hidden=0"], "controller.hidden=0 is out of range: expected 1 to 1000"),
        (
            ["controller.readout=state", "controller.phases=[{generation: 2, inputs: [z]}]"],
            "expected no inputs in phases",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(compose, overrides, message):
    with pytest.raises(wm.ConfigError, match=message):
        compose("env=lunar_lander", *overrides)


def test_a_source_s_controller_is_refused(compose):
    config = compose("env=lunar_lander", "rung=state", "transfer=warm_controller")
    with pytest.raises(wm.ConfigError, match="and C reads the true state: expected another strategy"):
        controller.check(config, 2)


def test_an_agent_of_frames_is_refused(compose, tmp_path):
    config = compose("env=lunar_lander", "rung=state")
    (tmp_path / "results.json").write_text(json.dumps({"config": plain(config), "stages": {}}))
    with pytest.raises(wm.ConfigError, match="reads the true state, which no frame tells"):
        wm.load(tmp_path).agent()
