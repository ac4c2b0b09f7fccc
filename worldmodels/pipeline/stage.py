"""What a stage declares, so that the pipeline has to know nothing but their order."""

import functools
import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worldmodels.config import Config
from worldmodels.store.artifacts import CHECKPOINT, RECORD, Artifact
from worldmodels.store.building import Length
from worldmodels.store.fingerprint import Code
from worldmodels.store.journal import Journal
from worldmodels.training.config import callbacks_of
from worldmodels.transfer.budgets import of_part
from worldmodels.transfer.config import strategy_label
from worldmodels.utils.settings import counted

if TYPE_CHECKING:
    from worldmodels.envs import TaskSpec
    from worldmodels.rollouts.executor import Executor

CHANGES_RESULTS = False


@dataclass(frozen=True)
class Work:
    """The input of a stage: the config, its parents by their roles, the executor, and the folder for its product.
    ``code``: that of the stage, and the versions of its libraries.
    """

    config: Config
    spec: "TaskSpec"
    parents: Mapping[str, Artifact]
    executor: "Executor"
    folder: Path
    journal: Journal
    code: Code
    source_outputs: int | None = None  # of the source's C, where C starts from it

    def path(self, role: str) -> Path:
        """The folder of a parent."""
        return self.parents[role].path

    def weights(self, role: str) -> Path | None:
        """The weights of a parent, or None where there is no such parent."""
        return self.parents[role].weights if role in self.parents else None


@dataclass(frozen=True)
class Stage:
    """One step of a run, which writes one artifact.

    ``parents``: the stages that it reads, by their roles. ``inputs``: what its product depends on besides its parents
    and the code, as plain values: the settings that count. ``build`` makes it, goes on where an earlier call was
    interrupted, and returns its summary. ``parts``: dotted paths of the classes that the config chooses for it, whose
    code counts, as do the versions of the ``libraries``. ``loads``: the part that a strategy can take from a source;
    that source's artifact is then the parent ``source``. ``finish`` is for what people look at: called on every run
    once the stage's results are written, outside of what counts. ``length``: the setting that only makes it longer, so
    that "more epochs" goes on from what is there; None where more of it is not the same from the start.
    """

    name: str
    parents: Callable[[Config], Mapping[str, str]]
    inputs: Callable[[Config], dict[str, Any]]
    build: Callable[[Work], dict[str, Any]]
    label: Callable[[Config], str]
    parts: Callable[[Config], Sequence[str]] = lambda config: ()
    libraries: Callable[[Config], Sequence[str]] = lambda config: ("torch",)
    loads: str | None = None
    enabled: Callable[[Config], bool] = lambda config: True
    seed: Callable[[Config], int] = lambda config: config.seed
    extra: Callable[[Config], Mapping[str, Artifact]] = lambda config: {}
    finish: Callable[[Work], None] | None = None
    length: Callable[[Config], Length | None] = lambda config: None


def libraries_of(stage: Stage, config: Config) -> list[str]:
    """The packages whose versions count: the stage's, those that its chosen classes name, and those that these classes
    come from, such as the one that registers a task.
    """
    names = [*stage.libraries(config)]
    for path in stage.parts(config):
        module, _, name = path.rpartition(".")
        names += getattr(getattr(importlib.import_module(module), name), "libraries", ())
        top = path.partition(".")[0]
        names += _distributions().get(top, ()) if top != __name__.partition(".")[0] else ()
    return list(dict.fromkeys(names))


@functools.cache
def _distributions() -> Mapping[str, list[str]]:
    return metadata.packages_distributions()


def label_of(part: str) -> Callable[[Config], str]:
    """The strategy's name in the artifacts of V or M: scratch where the part is trained as from scratch."""

    def label(config: Config) -> str:
        name = strategy_label(_transfer(config)) if config.transfer.choices(part) else "scratch"
        frames = config.vae.frames
        return name if part != "vision" or frames == "real" else f"{name}-{frames}"

    return label


def strategy(config: Config) -> str:
    """The strategy's name in the artifacts of agents."""
    return strategy_label(_transfer(config))


def training_inputs(config: Config, part: str, precision: str) -> dict[str, Any]:
    """What the training of V or M depends on besides its own settings and its parents."""
    choices = config.transfer.choices(part)
    settings: dict[str, Any] = {"seed": config.seed, "precision": precision}
    more = {"trainer": counted(config.trainer, part), "callbacks": callbacks_of(config.callbacks, part)}
    settings |= {name: values for name, values in more.items() if values}
    return {**settings, "transfer": choices} if choices else settings


def training_length(config: Config, part: str, *path: str) -> Length | None:
    """The length of V's or M's training, which goes on from a kept checkpoint; None where modules unfreeze one an
    epoch, which depends on how many epochs there are.
    """
    if config.trainer.fast_dev_run or of_part(config.transfer.unfreeze, part):
        return None
    return Length(path, (RECORD, CHECKPOINT), keep=config.trainer.keep_checkpoint)


def _transfer(config: Config) -> dict[str, Any]:
    return vars(config.transfer)
