"""Settings that are declared where they are used: every one of the package's, and the machinery."""

import dataclasses
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, get_origin, get_type_hints

import pytest
from omegaconf import OmegaConf

from worldmodels.api import compose
from worldmodels.config import Config, plain
from worldmodels.utils import parts
from worldmodels.utils.errors import ConfigError
from worldmodels.utils.help import describe, settings_help
from worldmodels.utils.settings import Part, Setting, Settings, counted, declared, typed


def nodes(config=Config, key=""):
    """Every config dataclass, with its place."""
    yield key, config
    for name, kind in get_type_hints(config).items():
        if isinstance(kind, type) and issubclass(kind, Settings):
            yield from nodes(kind, f"{key}.{name}".lstrip("."))


def ranged():
    """Every setting of a config dataclass, or of a class that comes with the package, that has a range."""
    for key, config in nodes():
        for name, declaration in declared(config).items():
            setting = declaration.setting
            if isinstance(setting, Part):
                for short, path in setting.names.items():
                    for inner in parts.declared_settings(parts.find(setting, path, "")).values():
                        yield f"{key}.{name}={short}:{inner.name}", inner, (config, name, short)
            else:
                yield f"{key}.{name}", declaration, (config, name, None)


def outside(setting):
    """Values just beyond each limit."""
    for limit, step, allowed in (
        (setting.at_least, -1, True),
        (setting.above, 0, False),
        (setting.at_most, 1, True),
        (setting.below, 0, False),
    ):
        if limit is not None:
            yield limit + (step if allowed else 0)


RANGED = [
    (label, declaration, place, value)
    for label, declaration, place in ranged()
    for value in outside(declaration.setting)
]


@pytest.mark.parametrize(("key", "config"), nodes(), ids=lambda value: value if isinstance(value, str) else "")
def test_every_field_is_declared_and_says_what_it_means(key, config):
    for field in dataclasses.fields(config):
        kind = get_type_hints(config)[field.name]
        if isinstance(kind, type) and issubclass(kind, Settings):
            assert kind.node == f"{key}.{field.name}".lstrip("."), "an error would name another key"
        else:
            setting = declared(config)[field.name].setting
            assert setting.doc.endswith("."), field.name


def test_there_are_ranges_to_check():
    assert len(RANGED) > 60


@pytest.mark.parametrize(("declaration", "place", "value"), [row[1:] for row in RANGED], ids=[row[0] for row in RANGED])
def test_every_range_is_enforced(declaration, place, value):
    config, name, part = place
    if float not in (declaration.type, *getattr(declaration.type, "__args__", ())):
        value = int(value)
    key = f"{config.node}.{name}".lstrip(".")
    with pytest.raises(ConfigError, match="expected") as caught:
        if part is None:
            config(**{name: value})
        else:
            key = f"{key}.{declaration.name}"
            setting = declared(config)[name].setting
            parts.complete(setting, {"_target_": part, declaration.name: value}, f"{config.node}.{name}")
    assert str(caught.value).startswith(f"{key}="), caught.value
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_infinity_and_nan_are_no_numbers(value):
    with pytest.raises(ConfigError, match="expected a finite number"):
        Setting("…").check("key", value)


OPTIONS = [(config, name) for _, config in nodes() for name, each in declared(config).items() if each.setting.options]


@pytest.mark.parametrize(("config", "name"), OPTIONS, ids=[f"{config.node}.{name}" for config, name in OPTIONS])
def test_every_choice_is_enforced(config, name):
    one = ["fog"] if get_origin(declared(config)[name].type) is list else "fog"
    with pytest.raises(ConfigError, match=f"{name}=fog is unknown: expected one of"):
        config(**{name: one})


def test_help_lists_every_key():
    text = settings_help(Config, 0)
    keys = [line.split("=")[0].split()[0] for line in text.splitlines() if line and line[0] != " "]
    fields = {f"{key}.{name}".lstrip(".") for key, config in nodes() for name in declared(config)}
    assert fields <= set(keys)
    assert {"vae.loss.weight", "collect.policy.persistence", "controller.search.sigma"} <= set(keys)
    described = {each.key: each for each in describe(Config)}
    assert all(each.meaning for each in described.values())
    assert described["controller.phases[].generation"].meaning == "The first generation of the phase. [1 or more]"
    assert described["memory.steps"].meaning == "Training steps. [1 or more]"
    assert max(map(len, text.splitlines())) <= 120


def test_help_shows_the_values_of_the_composed_config():
    values = OmegaConf.create(plain(compose("env=lunar_lander", "controller=z_first")))
    shown = {line.split()[0] for line in settings_help(Config, 0, values).splitlines() if line and line[0] != " "}
    assert {"scale=quick", "env.name=lunar_lander", f"vae.epochs={values.vae.epochs}"} <= shown
    assert {"vae.loss=salient", f"vae.loss.weight={values.vae.loss.weight}", "vae.loss.weight=0.5"} <= shown
    assert "logger={tensorboard:" in shown and "controller.phases=[{generation:" in shown
    assert "collect.rollouts=10000" not in shown


@dataclass
class Base(Settings):
    node: ClassVar[str] = "base"

    number: Annotated[int, Setting("A number.", at_least=0)] = 0
    share: Annotated[float | None, Setting("A share.", at_most=1, counts="unless default")] = None
    names: Annotated[list[str], Setting("Names.", counts="never")] = dataclasses.field(default_factory=list)
    extra: Annotated[int, Setting("Only with a number.", when=lambda base: base.number > 0, key="old_name")] = 5
    shown: Annotated[str, Setting("Twice a.", counts_as=lambda text, beside: text * 2, stages=("look",))] = "a"

    def check(self):
        if self.number == 7:
            raise ConfigError("base.number=7 is unlucky: expected another")


@dataclass
class Derived(Base):
    node: ClassVar[str] = "derived"

    more: Annotated[bool, Setting("More.")] = False

    def check(self):
        if self.more and self.number == 8:
            raise ConfigError("derived.number=8 is enough: expected derived.more=false")


def test_what_counts():
    assert counted(Base()) == {"number": 0}
    assert counted(Base(number=1, share=0.5)) == {"number": 1, "share": 0.5, "old_name": 5}
    assert counted(Base(), "look") == {"number": 0, "shown": "aa"}
    assert counted(Base(names=["a"])) == counted(Base())


def test_a_check_does_not_replace_that_of_its_base():
    with pytest.raises(ConfigError, match="7 is unlucky"):
        Derived(number=7)
    with pytest.raises(ConfigError, match="8 is enough"):
        Derived(number=8, more=True)
    assert Derived(number=8).number == 8


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"number": "one"}, "derived.number=one is no int: expected one, for example derived.number=32"),
        ({"number": 1.5}, "derived.number=1.5 is no int"),
        ({"number": True}, "derived.number=True is no int"),
        ({"number": None}, "derived.number=null is no int"),
        ({"share": "half"}, "derived.share=half is no float or null"),
        ({"names": "a"}, "derived.names=a is no list"),
        ({"names": [1]}, "derived.names=1 is no str"),
        ({"more": 1}, "derived.more=1 is no bool: expected one, for example derived.more=true"),
    ],
)
def test_another_type_is_refused_in_one_line(values, message):
    with pytest.raises(ConfigError) as caught:
        Derived(**values)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_whole_number_is_a_float():
    assert typed("key", float, 1) == 1.0 and type(typed("key", float | None, 1)) is float
    assert typed("key", dict[str, Any], 3) == 3, "what is not made of plain types is left alone"


def test_defaults_work_from_python():
    config = Config()
    assert config.vae.latent_size == 32 and config.memory.hidden_size == 256
    assert config.last_stage == "evaluate"
