"""The schema of ``transfer``: a strategy in module paths."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

from worldmodels.transfer.budgets import PARTS, budget_of, of_part
from worldmodels.utils.checks import require, require_one_of
from worldmodels.utils.settings import Setting, Settings
from worldmodels.vision.config import FRAMES

CHANGES_RESULTS = False  # `TransferConfig.choices` counts in the keys of artifacts

NETWORKS = ("vision", "memory")
ITERATED = "iterated"  # the name of what later rounds of the iterative procedure do
INPUT_LAYERS = ("reinit", "keep_latent", "adapter")


def contains(outer: str, inner: str) -> bool:
    """Whether a module path is another one, or lies in it."""
    return f"{inner}.".startswith(f"{outer}.")


@dataclass
class TransferConfig(Settings):
    """Which modules start from a source's weights (``load``) and which stay as they are: for good (``freeze``), or
    until their turn comes, one more at every epoch from the second on (``unfreeze``; an epoch of M is
    ``memory.validate_every`` steps). ``freeze_random`` names modules without a source that stay as they begin.

    All speak in module paths: ``vision``, ``vision.encoder.layers.0``, ``memory.lstm``; ``controller`` can only be
    loaded, as a whole, and only upon the source's V and M, whose z and h it reads.

    ``budget`` is the share of data (V) and of steps (M) that a part trains on if it is loaded; if nothing is, it holds
    for the parts in ``budgeted``.
    ``fraction`` adds this share of the source's weights to the fresh ones in place of copying them. ``input_layer`` is
    M's, whose width follows the actions: where it does not fit the source's, it is fresh (``reinit``), or its action
    columns are (``keep_latent``); with ``adapter`` it is copied, and a fresh linear layer before it takes [z, a] to the
    source's width. Only whole modules freeze, so a frozen LSTM's fresh columns stay at random: a parameter of which a
    part trains would be in the optimizer, and no longer be proven frozen. An adapter trains in their place.

    ``source_run`` takes the weights from a finished run instead of training them; a source that is trained sees
    ``source_frames`` in the place of its task's.
    """

    node: ClassVar[str] = "transfer"

    name: Annotated[str, Setting("The strategy's name, in folders and tables.")] = "scratch"
    load: Annotated[list[str], Setting("Modules that start from the source's weights.")] = field(default_factory=list)
    freeze: Annotated[list[str], Setting("Loaded modules that never train.")] = field(default_factory=list)
    freeze_random: Annotated[list[str], Setting("Modules without a source that stay as they begin.")] = field(
        default_factory=list
    )
    unfreeze: Annotated[
        list[str], Setting("Loaded modules that begin to train at the second epoch, at the third, and so on.")
    ] = field(default_factory=list)
    source_env: Annotated[str | None, Setting("The source task; it is trained first unless it is there.")] = None
    source_run: Annotated[str | None, Setting("Folder of a finished run to take the weights from.")] = None
    source_settings: Annotated[
        dict[str, Any],
        Setting(
            "Settings of the env of a source that is trained, for example {action_repeat: 1}, in place of its task's "
            "own, and of env.renderer, env.action_repeat and env.max_steps, which it shares with this run."
        ),
    ] = field(default_factory=dict)
    source_frames: Annotated[
        str, Setting("What a source that is trained shows its V; noise and shuffled are controls.", options=FRAMES)
    ] = "real"
    budget: Annotated[
        float,
        Setting("Share of the data (V) and the steps (M) that a loaded part trains on.", above=0, at_most=1),
    ] = 1.0
    budgeted: Annotated[
        list[str], Setting("The parts that a budget holds for where nothing is loaded.", options=NETWORKS)
    ] = field(default_factory=lambda: list(NETWORKS))
    fraction: Annotated[
        float | None,
        Setting("Add this share of the source's weights to fresh ones; null copies them.", above=0, at_most=1),
    ] = None
    input_layer: Annotated[
        str, Setting("M's input layer where its width differs from the source's.", options=INPUT_LAYERS)
    ] = "reinit"

    def check(self) -> None:
        self._check_paths()
        require(
            "controller" not in self.load or all(part in self.load for part in NETWORKS),
            f"transfer.load={self.load} takes the controller without the V and M whose z and h it reads: expected "
            "transfer.load=[vision,memory,controller]",
        )
        require(
            self.input_layer == "reinit" or bool(of_part(self.load, "memory")),
            f"transfer.input_layer={self.input_layer} needs a source for M: add memory to transfer.load, or use "
            "transfer.input_layer=reinit",
        )
        require(
            self.fraction is None or any(of_part(self.load, part) for part in NETWORKS),
            f"transfer.fraction={self.fraction} needs a source: add vision or memory to transfer.load, or use "
            "transfer.fraction=null",
        )
        require(
            not self.load or bool(self.source_env or self.source_run),
            f"transfer={self.name} has no source: expected a task, for example transfer.source_env=car_racing, or "
            "transfer.source_run=DIR; a strategy's file takes the task's own by source_env: ${env.default_source}, and "
            "a task's file sets default_source",
        )
        require(
            self.source_frames == "real" or (bool(self.load) and self.source_run is None),
            f"transfer.source_frames={self.source_frames} is about a source that is trained: expected transfer.load "
            "and no transfer.source_run, or transfer.source_frames=real",
        )

    def _check_paths(self) -> None:
        for path in self.load:
            parts = NETWORKS if "." in path else PARTS
            require_one_of("transfer.load", path.split(".")[0], parts)
        for key in ("freeze", "unfreeze", "freeze_random"):
            for path in getattr(self, key):
                require_one_of(f"transfer.{key}", path.split(".")[0], NETWORKS)
        for key in ("freeze", "unfreeze"):
            for path in getattr(self, key):
                require(
                    any(contains(loaded, path) for loaded in self.load),
                    f"transfer.{key}={path} needs a source for {path}: add it to transfer.load, freeze it at random "
                    "with transfer.freeze_random, or use transfer=scratch",
                )
        _require_disjoint(
            "freeze_random", self.freeze_random, self.load, "starts from a source: freeze it with transfer.freeze"
        )
        for position, path in enumerate(self.unfreeze):
            others = [*self.freeze, *self.unfreeze[:position]]
            _require_disjoint("unfreeze", [path], others, "is frozen already: expected modules apart from each other")

    @property
    def from_scratch(self) -> bool:
        """Whether V, M and C begin at random, and all of them trains on all of the budget."""
        return not self.load and not any(self.choices(part) for part in NETWORKS)

    @property
    def sourceless(self) -> bool:
        """Whether V, M and C begin at random and train on all of the budget, but for what stays as it begins."""
        return dataclasses.replace(self, freeze_random=[]).from_scratch

    def choices(self, part: str) -> dict[str, Any]:
        """What the training of V or M depends on of this; nothing where ``part`` is trained as from scratch.

        A key stands only where it makes a difference, so that artifacts outlive new options.
        """
        loaded, random = of_part(self.load, part), sorted(of_part(self.freeze_random, part))
        budget, unfreeze = budget_of(self, part), of_part(self.unfreeze, part)
        choices: dict[str, Any] = {}
        if loaded or budget != 1:
            choices |= {"freeze": sorted(of_part(self.freeze, part)), "budget": budget}
        if loaded not in ([], [part]):
            choices["load"] = sorted(loaded)
        if random:
            choices["freeze_random"] = random
        if unfreeze:
            choices["unfreeze"] = unfreeze
        if loaded and self.fraction is not None:
            choices["fraction"] = self.fraction
        if part == "memory" and self.input_layer != "reinit":
            choices["input_layer"] = self.input_layer
        return choices


def strategy_label(transfer: Mapping[str, Any]) -> str:
    """A strategy's name in folders and tables, with its budget if that is not the usual one: half for what is loaded,
    as in the source study, and all of it where nothing is. ``transfer``: this node of a config.
    """
    name, budget, loads = transfer["name"], transfer["budget"], bool(transfer["load"])
    budgeted = NETWORKS if loads else tuple(part for part in NETWORKS if part in transfer["budgeted"])
    if budget == (0.5 if loads else 1.0) or not budgeted:
        return name
    return "-".join([f"{name}-budget{budget:g}", *(budgeted if budgeted != NETWORKS else ())])


def _require_disjoint(key: str, paths: list[str], others: list[str], problem: str) -> None:
    for path in paths:
        for other in others:
            require(not (contains(path, other) or contains(other, path)), f"transfer.{key}={path}: {other} {problem}")
