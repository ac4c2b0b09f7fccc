"""The settings of C, of its search and of its evaluation."""

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

from worldmodels.utils.checks import require
from worldmodels.utils.settings import Part, Setting, Settings

CHANGES_RESULTS = False  # values count in the keys of artifacts
SEARCHES = {
    "cma_es": "worldmodels.controller.cma_es.CMAES",
    "sep_cma": "worldmodels.controller.sep_cma.SepCMA",
}
SEARCH = Part("The search for C's parameters.", names=SEARCHES, counts="unless default")


@dataclass
class ControllerConfig(Settings):
    """C and its search. Every individual of a generation meets the same episodes. ``patience`` suits a task like
    CarRacing, where a step costs and progress pays; where a failure is punished at its end, the cut would spare the
    agent that.
    """

    node: ClassVar[str] = "controller"

    search: Annotated[Any, SEARCH] = field(default_factory=lambda: {"_target_": "cma_es"})
    inputs: Annotated[list[str], Setting("What C sees: [z], [z, h] or [z, h, c].")] = field(
        default_factory=lambda: ["z", "h"]
    )
    population: Annotated[int, Setting("Individuals of a generation.", at_least=4)] = 32
    rollouts: Annotated[int, Setting("Episodes of each individual.", at_least=1)] = 2
    generations: Annotated[int, Setting("Generations of the search.", at_least=1)] = 20
    max_steps: Annotated[
        int | None,
        Setting("Limit of an episode of the search; null takes env.max_steps.", unit="steps of the task", at_least=1),
    ] = None
    patience: Annotated[
        int | None,
        Setting(
            "End an episode of the search after so many steps without a reward above 0 (with action_repeat: without a "
            "sum above 0).",
            unit="steps of the task",
            at_least=1,
        ),
    ] = None

    def check(self) -> None:
        allowed = (["z"], ["z", "h"], ["z", "h", "c"])
        require(
            list(self.inputs) in allowed,
            f"controller.inputs={list(self.inputs)} is unknown: expected [z], [z,h] or [z,h,c]",
        )


@dataclass
class EvaluateConfig(Settings):
    """Held-out episodes of the unmodified task."""

    node: ClassVar[str] = "evaluate"

    episodes: Annotated[int, Setting("Episodes that score the agent.", at_least=1)] = 100
    max_steps: Annotated[
        int | None,
        Setting("Cut the episodes; the result then says it is no score.", unit="steps of the task", at_least=1),
    ] = None
    video: Annotated[bool, Setting("Film an episode.", counts="never")] = True
