"""Classes chosen by ``_target_``, from the package and from anywhere."""

import sys
from types import ModuleType
from typing import Annotated

import pytest

from worldmodels.utils import parts
from worldmodels.utils.errors import ConfigError
from worldmodels.utils.overrides import spelled_out
from worldmodels.utils.settings import Part, Setting
from worldmodels.vision.config import LOSS


class Declaring:
    """Of somebody who declares settings."""

    def __init__(self, latent_size: int, width: Annotated[int, Setting("Width.", at_least=1)] = 4, note: str = "x"):
        self.latent_size, self.width, self.note = latent_size, width, note


class Bare:
    """Of somebody who has never heard of settings."""

    hidden_size = 12

    def __init__(self, latent_size: int = 1, rate: float = 0.5, name: str = "a", flag: "Elsewhere" = None):  # noqa: F821
        self.latent_size, self.rate, self.name = latent_size, rate, name


class Open:
    def __init__(self, needed, **anything):
        self.needed, self.anything = needed, anything


PART = Part("A part.", names={"declaring": "theirs.Declaring"})


@pytest.fixture(autouse=True)
def theirs(monkeypatch):
    module = ModuleType("theirs")
    module.Declaring, module.Bare, module.Open, module.number = Declaring, Bare, Open, 3
    monkeypatch.setitem(sys.modules, "theirs", module)


def test_a_class_is_made_with_its_settings_and_the_facts_it_takes():
    made = parts.make(PART, {"_target_": "declaring", "width": 7}, "part", latent_size=32, action_size=3)
    assert (made.latent_size, made.width, made.note) == (32, 7, "x")
    made = parts.make(PART, "theirs.Bare", "part", latent_size=32)
    assert made.latent_size == 32, "a fact comes before a default"
    made = parts.make(PART, {"_target_": "theirs.Open", "needed": 1, "more": 2}, "part", fact=3)
    assert (made.needed, made.anything) == (1, {"more": 2, "fact": 3})


def refusal(make):
    with pytest.raises(ConfigError) as caught:
        make()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("luck", "part=luck is unknown: expected one of declaring, or the dotted path"),
        ("nowhere.Luck", "part=nowhere.Luck cannot be imported"),
        ("theirs.Luck", "part=theirs.Luck is not there: theirs has no Luck"),
        ("theirs.number", "part=theirs.number is no class"),
        ("__main__.Mine", "write it to a file beside the script"),
        ({"width": 3}, "names no class: expected one of declaring"),
        (None, "names no class"),
        ({"_target_": "declaring", "wdith": 3}, "part.wdith=3 is no setting of Declaring: expected width"),
        ({"_target_": "declaring", "width": 0}, "part.width=0 is too small: expected 1 or more"),
        (
            {"_target_": "declaring", "width": "wide"},
            "part.width=wide is no int: expected one, for example part.width=32",
        ),
        (
            {"_target_": "theirs.Bare", "latent_size": 3},
            "part.latent_size=3 is no setting: the framework gives Bare its latent_size",
        ),
        ({"_target_": "theirs.Open"}, "part=theirs.Open needs needed"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(value, message):
    assert message in refusal(lambda: parts.make(PART, value, "part", latent_size=32))


def test_types_of_a_class_without_declarations_are_checked_where_they_can_be():
    """One annotation of `Bare` names what is not there, so none is known."""
    assert parts.make(PART, {"_target_": "theirs.Bare", "rate": "fast"}, "part").rate == "fast"

    class Typed:
        def __init__(self, rate: float = 0.5):
            self.rate = rate

    sys.modules["theirs"].Typed = Typed
    assert "part.rate=fast is no float" in refusal(
        lambda: parts.make(PART, {"_target_": "theirs.Typed", "rate": "fast"}, "part")
    )
    assert parts.make(PART, {"_target_": "theirs.Typed", "rate": 1}, "part").rate == 1.0


def test_a_class_of_ours_counts_by_its_name_and_anybodys_by_its_path():
    default = {"_target_": "declaring"}
    assert parts.counted_part("part", PART, "declaring", default) == {"part": "declaring", "declaring_width": 4}
    assert parts.counted_part("part", PART, {"_target_": "theirs.Bare", "rate": 2}, default) == {
        "part": {"_target_": "theirs.Bare", "latent_size": 1, "rate": 2, "name": "a", "flag": None}
    }


def test_a_size_is_a_setting_or_an_attribute():
    assert parts.size(PART, {"_target_": "declaring", "width": 9}, "part", "width") == 9
    assert parts.size(PART, "theirs.Bare", "part", "hidden_size") == 12
    assert "does not tell its depth" in refusal(lambda: parts.size(PART, "theirs.Bare", "part", "depth"))


def test_names_for_people():
    assert parts.name(LOSS, {"_target_": "salient", "weight": 3}) == "salient"
    assert parts.name(LOSS, "worldmodels.vision.losses.salient.Salient") == "salient"
    assert parts.name(LOSS, "mypackage.losses.Huber") == "Huber"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (["paths.outputs=1E3"], ["paths.outputs='1E3'"]),
        (["scale=true"], ["scale='true'"]),
        (["vae.epochs=3", "seed=0,1", "-m", "--cfg"], ["vae.epochs=3", "seed=0,1", "-m", "--cfg"]),
        (["transfer.source_run=null"], ["transfer.source_run=null"]),
        (["vae.loss=mse"], ["vae.loss=mse", "vae.loss={_target_: mse}"]),
        (["vae.loss={_target_: gan, gamma: 2}"], ["vae.loss=gan", "vae.loss={_target_: gan, gamma: 2}"]),
        (["vae.loss=mse,sigma"], ["vae.loss=mse,sigma"]),
        (["vae.loss.weight=3"], ["++vae.loss.weight=3"]),
        (["+vae.loss.weight=3"], ["+vae.loss.weight=3"]),
        (["vae.lossy=3"], ["vae.lossy=3"]),
    ],
)
def test_overrides_mean_what_they_say(written, meant):
    from worldmodels.config import Config

    assert spelled_out(written, Config) == meant


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("def mine(:", r"SyntaxError: invalid syntax \(broken_part.py, line 1\)"),
        ("\nmine = nowhere", r"NameError: name 'nowhere' is not defined at broken_part.py:2"),
        ("import math\nmine = math.no", r"AttributeError: .*'math' has no attribute 'no' at broken_part.py:2"),
    ],
)
def test_a_module_that_python_cannot_run_is_told_in_a_line(text, told, tmp_path, monkeypatch):
    (tmp_path / "broken_part.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match=rf"^vae.loss=broken_part.mine cannot be imported \({told}\): expected"):
        parts.find(LOSS, "broken_part.mine", "vae.loss")
