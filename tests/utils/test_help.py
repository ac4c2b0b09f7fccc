"""``--help``: the settings of the classes that are chosen."""

from typing import Annotated

from omegaconf import OmegaConf

from worldmodels.config import Config
from worldmodels.utils.help import settings_help
from worldmodels.utils.settings import Setting


class Mine:
    def __init__(self, size: Annotated[int, Setting("Numbers of mine.", at_least=2)] = 7) -> None:
        self.size = size


def lines(values=None):
    return [line for line in settings_help(Config, 0, values).splitlines() if line.startswith("memory.network")]


def test_the_settings_of_the_networks_are_listed():
    assert any(line.startswith("memory.network.hidden_size=256 ") and "[1 or more]" in line for line in lines())
    values = OmegaConf.create(
        {"memory": {"network": {"_target_": "worldmodels.memory.network.MDNLSTM", "mixtures": 3}}}
    )
    assert any(line.startswith("memory.network.mixtures=3 ") for line in lines(values))


def test_those_of_a_class_of_ones_own_are_listed_in_their_place():
    values = OmegaConf.create({"memory": {"network": {"_target_": f"{__name__}.Mine", "size": 9}}})
    assert [line.split()[0] for line in lines(values)] == [f"memory.network={__name__}.Mine", "memory.network.size=9"]
    assert "Mine: Numbers of mine. [2 or more]" in lines(values)[1]
