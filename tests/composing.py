"""Configs as Hydra composes them, without reading the same files anew for each value of a setting."""

import dataclasses
import functools
import re

import hydra
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig

from worldmodels.config import Config, conf_dir, register_schema

NODES = {each.name for each in dataclasses.fields(Config)}


@functools.cache  # Hydra takes a tenth of a second
def chosen(*choices: str) -> DictConfig:
    """What Hydra composes, to look at."""
    register_schema()
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return hydra.compose("config", list(choices))


def composed(*overrides: str) -> DictConfig:
    """A config that is not checked yet."""
    values = [each for each in overrides if _is_value(each)]
    config = chosen(*(each for each in overrides if each not in values)).copy()
    # What Hydra does with them once the files are read.
    ConfigLoaderImpl._apply_overrides_to_config(OverridesParser.create().parse_overrides(values), config)
    return config


def _is_value(override: str) -> bool:
    """Whether it is known to be one value of a setting, and no choice of a file."""
    key, _, value = override.partition("=")
    node, dot, _ = key.lstrip("+").partition(".")
    several = "," in value and value[0] not in "[{"
    return (
        node in NODES
        and (bool(dot) or not (conf_dir() / node).is_dir())
        and not re.search(r"[/@]", key)
        and not several
    )
