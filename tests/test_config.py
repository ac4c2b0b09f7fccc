"""The Hydra tree: everything composes, everything misspelt is an error, nonsense is refused in one line."""

import contextlib
import functools
import itertools
import json
import re
import shutil
import subprocess
import sys

import hydra
import pytest
import yaml
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from worldmodels.api import compose as compose_in_python
from worldmodels.benchmark import BenchmarkCommand
from worldmodels.config import (
    Config,
    check_parts,
    conf_dir,
    config_from_json,
    config_to_json,
    plain,
    register_schema,
    to_config,
)
from worldmodels.dream import DreamCommand
from worldmodels.evaluate import EvaluateCommand
from worldmodels.export import ExportCommand
from worldmodels.memory.config import NETWORK as MEMORY
from worldmodels.pipeline.pipeline import DECLARED
from worldmodels.play import PlayCommand
from worldmodels.probe import ProbeCommand
from worldmodels.report import ReportCommand
from worldmodels.utils import parts
from worldmodels.utils.errors import ConfigError

COMMANDS = {"config": Config, "evaluate": EvaluateCommand, "dream": DreamCommand, "probe": ProbeCommand}
COMMANDS |= {"benchmark": BenchmarkCommand, "report": ReportCommand, "export": ExportCommand, "play": PlayCommand}
NEEDED = {"evaluate": ["run=x"], "dream": ["run=x"], "probe": ["run=x"], "export": ["run=x", "to=y"], "play": ["run=x"]}
OPTIONS = [(path.parent.name, path.stem) for path in sorted(conf_dir().glob("*/*.yaml"))]
TASKS = ("car_racing", "lunar_lander", "bipedal_walker")
SCALES = ("smoke", "sweep", "quick", "hour", "day", "laptop", "paper")
STRATEGIES = ("scratch", "pretrained", "freeze2", "freeze_encoder", "freeze_lstm", "freeze_mdn")
INTERFACE = {
    "env": TASKS,
    "vae": ("cvae", "foveal", "vae_gan"),
    "memory": ("mdn_lstm",),
    "controller": ("cma_es", "sep_cma"),
    "transfer": (*STRATEGIES, "pretrained_vision", "pretrained_memory"),
    "scale": SCALES,
    "trainer": ("auto", "cpu", "gpu"),
}


def register_schemas():
    for command, schema in COMMANDS.items():
        register_schema("schema" if command == "config" else f"{command}_schema", schema)


@functools.cache
def unchecked(*choices):
    """A composed config; composing takes Hydra a tenth of a second."""
    register_schemas()
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return hydra.compose("config", list(choices))


@contextlib.contextmanager
def tree(folder):
    """Hydra on a config tree; composing many configs in one go is much faster."""
    register_schemas()
    GlobalHydra.instance().clear()

    def checked(command, *overrides):
        config = to_config(hydra.compose(command, [*overrides, *NEEDED.get(command, [])]))
        if command == "config":
            check_parts(config)
        return config

    with hydra.initialize_config_dir(str(folder), version_base="1.3"):
        yield checked


def test_every_yaml_is_reached_by_a_test():
    files = {str(path.relative_to(conf_dir())) for path in conf_dir().rglob("*.yaml")}
    assert files == {f"{group}/{option}.yaml" for group, option in OPTIONS} | {f"{name}.yaml" for name in COMMANDS}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_composes(command):
    with tree(conf_dir()) as composed:
        assert isinstance(composed(command), COMMANDS[command])


@pytest.mark.parametrize("command", ["evaluate", "dream", "probe", "benchmark", "report", "play"])
def test_every_key_of_a_command_can_be_set(command):
    """A key must not bear the name of a group, or Hydra takes it for one."""
    with tree(conf_dir()) as composed:
        config = composed(command)
        values = plain(config).items()
        assert composed(command, *(f"{key}={'null' if value is None else value}" for key, value in values)) == config


@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_every_option_composes(group, option, compose):
    config = compose(f"{group}={option}")
    chosen = getattr(config, group, None)
    assert getattr(chosen, "name", option) == option or chosen == option


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_composes_with_every_task_and_scale(strategy):
    with tree(conf_dir()) as composed:
        for task, scale in zip(itertools.cycle(TASKS), SCALES, strict=False):
            config = composed("config", f"transfer={strategy}", f"env={task}", f"scale={scale}")
            assert (config.transfer.name, config.env.name, config.scale) == (strategy, task, scale)
            source = None if strategy == "scratch" else "bipedal_walker" if task == "car_racing" else "car_racing"
            assert config.transfer.source_env == source


@pytest.mark.parametrize(("group", "options"), INTERFACE.items())
def test_the_promised_options_exist(group, options):
    assert set(options) <= {path.stem for path in (conf_dir() / group).glob("*.yaml")}


def test_the_promised_defaults_hold(compose):
    config = compose()
    assert config.env.name == "car_racing"
    assert config.vae.network["_target_"].endswith("ConvVAE")
    assert config.memory.network["_target_"].endswith("MDNLSTM")
    assert config.controller.inputs == ["z", "h"]
    assert (config.transfer.name, config.transfer.source_env) == ("scratch", None)
    assert (config.env.renderer, config.env.action_repeat, config.controller.patience) == ("auto", 1, None)
    assert (config.trainer.accelerator, config.scale, config.stage, config.seed) == ("auto", "quick", "all", 0)
    assert config.paths.outputs == "outputs"
    assert compose("transfer=pretrained").transfer.budget == 0.5
    assert config.transfer.budget == 1.0


def test_a_foveal_v_differs_from_the_papers_in_what_its_file_says_alone(compose):
    paper, foveal = (plain(compose(f"vae={name}", "scale=paper").vae) for name in ("cvae", "foveal"))
    assert foveal["network"] == {**paper["network"], "_target_": "worldmodels.vision.foveal.FovealVAE"}
    differing = {key for key, value in foveal.items() if value != paper[key]}
    assert differing == {"network", "loss", "min_learning_rate"}
    assert foveal["loss"]["_target_"] == "salient" and foveal["loss"]["glimpse"] > 0 and foveal["loss"]["place"] > 0
    assert paper["min_learning_rate"] is None


@pytest.mark.parametrize("stage", ["all", "collect", "vision", "encode", "memory", "controller", "evaluate"])
def test_a_run_can_end_after_any_stage(stage, compose):
    assert compose(f"stage={stage}").last_stage == ("evaluate" if stage == "all" else stage)


def test_the_seed_reaches_collecting_unless_it_is_pinned(compose):
    seed = DECLARED["collect"].seed
    assert seed(compose("seed=3")) == 3
    assert seed(compose("seed=3", "collect.seed=1")) == 1


@pytest.mark.parametrize(
    ("strategy", "load", "freeze"),
    [
        ("scratch", [], []),
        ("pretrained", ["vision", "memory"], []),
        ("pretrained_vision", ["vision"], []),
        ("pretrained_memory", ["memory"], []),
        ("freeze2", ["vision"], ["vision.encoder.layers.0", "vision.encoder.layers.1"]),
        ("freeze_encoder", ["vision"], ["vision.encoder"]),
        ("freeze_lstm", ["memory"], ["memory.lstm"]),
        ("freeze_mdn", ["memory"], ["memory.mdn"]),
        ("aligned", ["vision", "memory"], ["vision"]),
        ("feature_extraction", ["vision.encoder"], ["vision.encoder"]),
        ("fractional", ["vision", "memory"], []),
        ("gradual_unfreezing", ["vision"], []),
        ("from_noise", ["vision"], []),
        ("from_shuffled", ["vision"], []),
        ("random_encoder", [], []),
        ("random_lstm", [], []),
        ("random_memory", [], []),
        ("warm_controller", ["vision", "memory", "controller"], ["vision", "memory.lstm"]),
    ],
)
def test_strategies_load_and_freeze_what_the_study_did(strategy, load, freeze, compose):
    transfer = compose(f"transfer={strategy}").transfer
    assert (transfer.load, transfer.freeze) == (load, freeze)


def test_the_paper_scale_holds_the_source_studys_numbers(compose):
    config = compose("scale=paper")
    assert (config.collect.rollouts, config.collect.frames) == (10_000, None)
    assert config.collect.policy == {"_target_": "uniform"}
    assert (config.env.max_steps, config.collect.max_steps) == (1000, None)
    assert (config.vae.epochs, config.vae.batch_size, config.vae.learning_rate) == (10, 100, 0.001)
    assert config.vae.latent_size == 32
    assert (config.memory.steps, config.memory.batch_size, config.memory.sequence_length) == (4000, 100, 1000)
    network = parts.complete(MEMORY, config.memory.network, "memory.network")
    assert (network["hidden_size"], network["mixtures"]) == (256, 5)
    search = config.controller
    assert (search.population, search.rollouts, search.generations, search.max_steps) == (32, 2, 20, None)
    assert (config.evaluate.episodes, config.evaluate.max_steps) == (100, None)


def mappings(node, path=()):
    """Places of all mappings in a YAML file whose keys the schema knows."""
    if isinstance(node, dict) and path[-1:] != ("kwargs",) and path[:1] != ("hydra",):
        yield path
        for key, value in node.items():
            yield from mappings(value, (*path, key))


PLACES = [
    (str(path.relative_to(conf_dir())), place)
    for path in sorted(conf_dir().rglob("*.yaml"))
    for place in mappings(yaml.safe_load(path.read_text()))
    if not (place and path.parent.name in ("callbacks", "logger"))  # arguments of classes that are not ours
]


@pytest.fixture(scope="module")
def copied(tmp_path_factory):
    folder = tmp_path_factory.mktemp("copy") / "conf"
    shutil.copytree(conf_dir(), folder)
    return folder


@pytest.mark.parametrize(("file", "place"), PLACES, ids=[":".join((file, *place)) for file, place in PLACES])
def test_a_misspelt_key_of_a_yaml_file_does_not_fit_the_schema(file, place):
    content, is_global = misspelt(conf_dir() / file, place)
    group, _, name = file.removesuffix(".yaml").rpartition("/")
    values = {key: value for key, value in content.items() if key not in ("defaults", "hydra")}
    for node in reversed(() if is_global else group.split("/") if group else ()):
        values = {node: values}
    register_schemas()
    schema = "schema" if group or name == "config" else f"{name}_schema"
    with pytest.raises((ConfigError, OmegaConfBaseException), match="misspelt"):
        OmegaConf.merge(ConfigStore.instance().load(f"{schema}.yaml").node, values)
        config = OmegaConf.merge(unchecked(), values)  # it fits, as a setting of a chosen class
        check_parts(to_config(config))


def misspelt(path, place):
    """What a YAML file says, a misspelt key at a place added, and whether its package is that of the whole config."""
    text = path.read_text()
    node = content = yaml.safe_load(text)
    for key in place:
        node = node[key]
    node["misspelt"] = 1
    return content, "@package _global_" in text


# Hydra asks the schema: of one file of every group, and of every command.
FIRST = [
    next(file for file, _ in PLACES if file.startswith(f"{group}/"))
    for group in sorted({group for group, _ in OPTIONS})
]


@pytest.mark.parametrize("file", [*(f"{command}.yaml" for command in COMMANDS), *FIRST])
def test_a_misspelt_key_in_a_yaml_file_is_an_error(file, copied):
    path = copied / file
    text = path.read_text()
    content, is_global = misspelt(path, next(place for known, place in PLACES if known == file))
    path.write_text(("# @package _global_\n" if is_global else "") + yaml.safe_dump(content, sort_keys=False))
    top = "/" not in file
    command, choice = (path.stem, []) if top else ("config", [f"{path.parent.name}={path.stem}"])
    try:
        with tree(copied) as composed, pytest.raises((ConfigError, HydraException, OmegaConfBaseException)) as caught:
            composed(command, *choice)
    finally:
        path.write_text(text)
    assert "misspelt" in f"{caught.value} {caught.value.__cause__}"


def test_a_copy_of_the_tree_in_order_composes(copied, compose):
    with tree(copied) as composed:
        assert composed("config") == compose()


MISSPELT = (
    *("sed", "env.nme", "collect.rolouts", "vae.epoch", "vae.network.latents", "memory.stps", "trainer.thread"),
    *("memory.network.mixture", "controller.populatoin", "evaluate.episode", "transfer.source", "executor.worker"),
    *("paths.output", "transfers", "env.render", "env.action_repeats", "controller.patient", "executor.slot"),
)


@pytest.mark.parametrize("key", MISSPELT)
def test_a_misspelt_override_is_an_error(key, compose):
    with pytest.raises((ConfigError, HydraException, OmegaConfBaseException)) as caught:
        check_parts(compose(f"{key}=1"))
    assert key.split(".")[-1] in str(caught.value)


@pytest.mark.parametrize("key", ["sed", "memory.stps"])
def test_a_misspelt_key_is_an_error_also_where_it_is_added(key, compose):
    """Hydra's ``+`` would append it, and nothing would ever read it."""
    with pytest.raises((ConfigError, HydraException, OmegaConfBaseException), match=key.split(".")[-1]):
        compose(f"+{key}=1")


@pytest.mark.parametrize("choice", ["env=breakout", "transfer=freeze3", "scale=huge", "vae=vqvae", "trainer=tpu"])
def test_an_unknown_option_is_an_error(choice, compose):
    with pytest.raises(HydraException, match=choice.split("=")[1]):
        compose(choice)


@pytest.mark.parametrize(
    "override",
    [
        *("seed=one", "vae.epochs=2.5", "env.heuristic=perhaps", "memory.steps=null"),
        *("env.action_repeat=1.5", "controller.patience=soon", "executor.slots=null"),
    ],
)
def test_a_value_of_the_wrong_kind_is_an_error(override, compose):
    with pytest.raises((HydraException, OmegaConfBaseException)) as caught:
        compose(override)
    assert re.search(r"'one'|'2\.5'|'perhaps'|'1\.5'|'soon'|not Optional", f"{caught.value} {caught.value.__cause__}")


# What is asked for, and words of the answer: what was got, and what was expected or how to mend it.
REFUSED = [
    ("stage=fly", "stage=fly", "collect, vision, encode, memory, controller, evaluate"),
    ("env.renderer=ascii", "env.renderer=ascii", "expected one of auto, gymnasium, exact, fast"),
    ("collect.max_steps=8 env.action_repeat=8", "env.action_repeat=8", "collect.max_steps=8: expected a smaller"),
    ("controller.max_steps=8 env.action_repeat=8", "env.action_repeat=8", "controller.max_steps=8: expected a smaller"),
    ("env.view=near", "env.view=near", "expected one of whole, follow"),
    ("env.crop_bottom=1", "env.crop_bottom=1.0", "expected 0 to 0.9"),
    ("env.crop_bottom=-0.1", "env.crop_bottom=-0.1", "expected 0 to 0.9"),
    ("env=lunar_lander env.heuristic=true", "env=lunar_lander", "set env.heuristic=false or env=car_racing"),
    ("env.name=my/task", "env.name=my/task", "expected letters, digits, _ . + or -"),
    (f"env.name={'long' * 20}", "env.name=long", "60 at most"),
    ("env.name=..", "env.name=..", "the first a letter or a digit"),
    ("vae.min_learning_rate=0.01", "vae.min_learning_rate=0.01", "expected 0 to vae.learning_rate=0.001, or null"),
    ("measure.samples=1", "measure.samples=1", "expected 0, or 2 or more"),
    ("memory.learning_rate=1e-6", "memory.learning_rate=1e-06", "expected 0 ≤ minimum ≤ rate and rate > 0"),
    ("memory.steps=7 memory.validate_every=3", "memory.validate_every=3", "a divisor of 7"),
    ("controller.inputs=[h]", "controller.inputs=['h']", "expected [z], [z,h] or [z,h,c]"),
    ("transfer=pretrained transfer.budget=0", "transfer.budget=0.0", "expected above 0 and up to 1"),
    ("transfer=pretrained transfer.budget=1.5", "transfer.budget=1.5", "expected above 0 and up to 1"),
    ("transfer.load=[luck] transfer.source_env=lunar_lander", "transfer.load=luck", "expected one of vision, memory"),
    ("transfer=freeze2 transfer.freeze=[sight]", "transfer.freeze=sight", "expected one of vision, memory"),
    ("transfer=freeze2 transfer.freeze=[memory.lstm]", "transfer.freeze=memory.lstm", "add it to transfer.load"),
    ("transfer.freeze=[vision.encoder]", "transfer.freeze=vision.encoder", "use transfer=scratch"),
    ("transfer=freeze2 transfer.load=[]", "transfer.freeze=vision.encoder.layers.0", "add it to transfer.load"),
    ("transfer=feature_extraction transfer.freeze=[vision]", "transfer.freeze=vision", "add it to transfer.load"),
    ("transfer=freeze2 transfer.freeze_random=[vision]", "transfer.freeze_random=vision", "with transfer.freeze"),
    ("transfer=freeze2 transfer.unfreeze=[vision.encoder]", "transfer.unfreeze=vision.encoder", "modules apart"),
    ("transfer.load=[controller] transfer.source_env=x", "['controller']", "transfer.load=[vision,memory,controller]"),
    ("transfer=warm_controller transfer.load=[controller.w]", "transfer.load=controller", "one of vision, memory"),
    ("transfer=warm_controller stage=memory", "stage=memory", "expected stage=controller or a later one"),
    ("transfer=freeze2 transfer.input_layer=adapter", "transfer.input_layer=adapter", "add memory to transfer.load"),
    ("transfer.input_layer=new", "transfer.input_layer=new", "expected one of reinit, keep_latent, adapter"),
    ("transfer.source_frames=noise", "transfer.source_frames=noise", "transfer.source_frames=real"),
    ("transfer=from_noise transfer.source_run=x", "transfer.source_frames=noise", "no transfer.source_run"),
    ("transfer=from_noise transfer.source_frames=fog", "source_frames=fog", "expected one of real, noise, shuffled"),
    ("vae.frames=fog", "vae.frames=fog", "expected one of real, noise, shuffled"),
    ("transfer.budget=0.3", "transfer.budget=0.3", "a multiple of memory.validate_every"),
    ("transfer=freeze2 transfer.source_env=null", "freeze2 has no source", "for example transfer.source_env="),
    (
        "transfer=pretrained transfer.source_env=car_racing",
        "transfer.source_env=car_racing",
        "for example transfer.source_env=bipedal_walker",
    ),
    ("trainer.accelerator=abacus", "trainer.accelerator=abacus", "expected one of auto, cpu, gpu"),
    ("trainer.precision=vague", "trainer.precision=vague", "auto, 32-true, bf16-mixed"),
]


@pytest.mark.parametrize(("overrides", "got", "expected"), REFUSED, ids=[row[0] for row in REFUSED])
def test_nonsense_is_refused_in_one_line(overrides, got, expected):
    choices = tuple(override for override in overrides.split() if override.split("=")[0] in INTERFACE)
    values = [override for override in overrides.split() if override not in choices]
    with pytest.raises(ConfigError) as caught:
        to_config(OmegaConf.merge(unchecked(*choices), OmegaConf.from_dotlist(values)))
    message = str(caught.value)
    assert "\n" not in message
    assert got in message
    assert expected in message


@pytest.mark.parametrize(
    ("command", "override", "got"),
    [
        ("evaluate", "episodes=0", "episodes=0"),
        ("evaluate", "workers=0", "workers=0"),
        ("benchmark", "workers=0", "workers=0"),
        ("benchmark", "device=tpu", "device=tpu"),
        ("dream", "temperature=0", "temperature=0.0"),
        ("dream", "context=0", "context=0"),
        ("probe", "scored=1", "scored=1.0"),
        ("probe", "epochs=0", "epochs=0"),
        ("dream", "steps=10", "steps=10"),  # no more than its context
    ],
)
def test_the_other_commands_refuse_nonsense(command, override, got):
    with tree(conf_dir()) as composed, pytest.raises(ConfigError, match=f"{got} .*expected"):
        composed(command, override)


@pytest.mark.parametrize("command", ["evaluate", "dream", "probe"])
def test_a_run_is_required(command):
    register_schemas()
    GlobalHydra.instance().clear()
    with (
        hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"),
        pytest.raises(OmegaConfBaseException, match="run"),
    ):
        to_config(hydra.compose(command))


RENAMED = {
    "vae.salient_weight": "vae.loss.weight",
    "collect.persistence": "collect.policy.persistence",
    "controller.sigma": "controller.search.sigma",
    "executor.name": "executor.engine",
}


@pytest.mark.parametrize(("old", "new"), RENAMED.items())
def test_an_old_key_is_refused_with_its_new_name(old, new):
    with pytest.raises(ConfigError, match=f"{old} is called {new} now: expected the new name; write {new}=…"):
        compose_in_python(f"{old}=1")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("vae=cave", "vae=cave is unknown: expected one of cvae, cvae_64, foveal, vae_gan"),
        ("logger=foo", "logger=foo is unknown: expected one of csv, mlflow, none, tensorboard, wandb"),
        ("experiment=foo", "experiment=foo is unknown: expected one of dream_score, "),
        ("debug=foo", "debug=foo is unknown: expected one of limit, overfit, profiler"),
        ("vae.epochs=abc", "vae.epochs=abc is no int: expected one, for example vae.epochs=32"),
        ("vae.learning_rate=fast", "vae.learning_rate=fast is no float: expected one, for example "),
        ("env.heuristic=perhaps", "env.heuristic=perhaps is no bool: expected one, for example env.heuristic=true"),
        ("memory.steps=null", "memory.steps=null is no int: expected one, for example memory.steps=32"),
        ("controller.phases=3", "controller.phases=3 is no list: expected one"),
        ("controller.phases=[{generation: x}]", "controller.phases: generation=x is no int: expected one"),
        (
            "controller.phases=[{from: 3}]",
            "controller.phases: from is unknown: expected generation, inputs, rollouts, max_steps, patience, "
            "opening_step, search",
        ),
        ("vae.epoch=3", "vae.epoch is unknown: expected network, loss, "),
        (
            "vae=[a]",
            "vae=[a] is a list: expected an option of the group, one of cvae, cvae_64, foveal, vae_gan; ",
        ),
        ("env=[car_racing]", "env=[car_racing] is a list: expected an option of the group, one of bipedal_walker, "),
        ("scale={}", "scale={} is a dict: expected an option of the group, one of day, hour, laptop, "),
        ("experiment={a: 1}", "experiment={a: 1} is a dict: expected an option of the group, one of dream_score, "),
        ("vae={a: 1}", "vae.a is unknown: expected network, loss, "),
        ("vae=1", "vae=1 is no name: expected an option of the group, one of cvae, "),
        ("memory=null", "memory=null is no name: expected an option of the group, one of mdn_lstm, mdn_lstm_512; "),
        ("logger=[csv,nope]", "logger=nope is unknown: expected an option that --help lists"),
        (
            "+vae=foveal",
            "+vae=foveal adds a second vae: expected an option in the place of the one there is; write vae=",
        ),
        ("+sed=1", "sed is unknown: expected env, collect, "),
        ("foo", "foo is no setting: expected KEY=VALUE, for example seed=1"),
        ("collect.policy={_target_:", "collect.policy={_target_: ends too soon: expected all of its value in one arg"),
        ("seed=a=b", "seed=a=b cannot be read: expected KEY=VALUE"),
    ],
)
def test_what_hydra_refuses_is_said_in_our_words(override, message):
    with pytest.raises(ConfigError) as caught:
        compose_in_python(override)
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("override", "meant"),
    [
        ("scal=smoke", "scale"),
        ("vae.epoch=3", "epochs"),
        ("trainer.devicez=2", "devices"),
        ("vae.loss.wieght=3", "weight"),
    ],
)
def test_what_was_meant_is_offered(override, meant):
    with pytest.raises(ConfigError, match=rf"; did you mean {meant}\?$"):
        check_parts(compose_in_python("vae.loss=salient", override))


def test_options_of_a_group_of_several_are_combined():
    assert set(compose_in_python("logger=[csv,tensorboard]").logger) == {"csv", "tensorboard"}
    assert compose_in_python("vae={epochs: 3}").vae.epochs == 3


def test_a_folder_for_outputs_has_a_name():
    with pytest.raises(ConfigError, match=r"paths\.outputs is empty: expected a folder"):
        compose_in_python("paths.outputs=''")


def test_text_stays_as_it_is_written():
    assert compose_in_python("paths.outputs=1E3").paths.outputs == "1E3"
    assert compose_in_python("env.name=007").env.name == "007"


def test_a_chosen_class_leaves_nothing_of_another():
    """The V of LunarLander has a loss with settings of its own."""
    lander = compose_in_python("env=lunar_lander", "vae.loss=perceptual", "vae.loss.weight=0.125")
    assert lander.vae.loss == {"_target_": "perceptual", "weight": 0.125}
    assert compose_in_python("env=lunar_lander", "vae.loss={_target_: gan, gamma: 2}").vae.loss == {
        "_target_": "gan",
        "gamma": 2,
    }
    assert compose_in_python("env=lunar_lander", "vae.loss.weight=3").vae.loss["glimpse"] > 0


def test_the_schema_is_known_without_our_help():
    """In a process of its own, as importing it once is enough for ever."""
    code = (
        "import hydra\nfrom worldmodels.config import conf_dir\n"
        "with hydra.initialize_config_dir(str(conf_dir()), version_base='1.3'):\n"
        "    print(hydra.compose('config', ['seed=3']).seed)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "3", done.stderr


OLD = {
    "vae": {
        "loss": "salient",
        "salient_weight": 20.0,
        "salient_glimpse": 1.0,
        "perceptual_weight": 0.5,
        "gan_gamma": 1,
    },
    "collect": {"policy": "biased", "persistence": 0.5, "brownian_std": 0.2, "bias": 0.25},
    "heldout": {"policy": "uniform", "persistence": 0.9, "brownian_std": 0.2, "bias": 0.25},
    "memory": {"network": {"_target_": "worldmodels.memory.network.MDNLSTM", "carry": True}},
    "controller": {"sigma": 0.2, "diagonal": True},
    "executor": {"name": "serial"},
}


def test_the_config_of_an_old_run_is_read_as_todays():
    config = config_from_json(json.dumps(OLD))
    assert config.vae.loss == {"_target_": "salient", "weight": 20.0, "glimpse": 1.0}
    assert config.collect.policy == {"_target_": "biased", "persistence": 0.5, "bias": 0.25}
    assert config.heldout.policy == {"_target_": "uniform"}
    assert config.memory.network["skip_gain"] is True
    assert config.controller.search == {"_target_": "cma_es", "sigma": 0.2, "diagonal": True}
    assert config.executor.engine == "serial"
    check_parts(config)
    assert config_from_json(config_to_json(config)) == config


def test_a_source_may_be_a_run_of_any_task(compose):
    config = compose("transfer=pretrained", "transfer.source_env=car_racing", "transfer.source_run=outputs/runs/x")
    assert config.transfer.source_run == "outputs/runs/x"


@pytest.mark.parametrize("overrides", [[], ["env=bipedal_walker", "transfer=freeze_lstm", "scale=paper", "seed=7"]])
def test_a_config_survives_json(overrides, compose):
    config = compose(*overrides)
    text = config_to_json(config)
    assert "\n" not in text
    assert config_from_json(text) == config
    assert config_to_json(config_from_json(text)) == text
    assert json.loads(text) == plain(config)


def test_reading_json_runs_the_checks(compose):
    values = json.loads(config_to_json(compose()))
    with pytest.raises(ConfigError, match=r"vae\.epochs=0"):
        config_from_json(json.dumps({**values, "vae": {**values["vae"], "epochs": 0}}))
    with pytest.raises(OmegaConfBaseException, match="misspelt"):
        config_from_json(json.dumps({**values, "misspelt": 1}))
