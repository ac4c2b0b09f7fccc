"""The settings of a task."""

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

from worldmodels.utils.checks import require
from worldmodels.utils.settings import Setting, Settings

CHANGES_RESULTS = False  # values count in the keys of artifacts
RENDERERS = ("gymnasium", "exact", "fast")
AGENTS = ("controller", "evaluate")  # stages in which an agent acts


def _heuristic(env: "EnvConfig") -> bool:
    return env.heuristic


@dataclass
class EnvConfig(Settings):
    """A task. ``id`` and ``kwargs`` go to `gymnasium.make`."""

    node: ClassVar[str] = "env"

    name: Annotated[str, Setting("The task's name in folders and tables; a task of ours is chosen by it.")] = (
        "car_racing"
    )
    id: Annotated[str, Setting("Gymnasium id.")] = "CarRacing-v3"
    kwargs: Annotated[dict[str, Any], Setting("Arguments of gymnasium.make.")] = field(default_factory=dict)
    renderer: Annotated[
        str,
        Setting(
            "Who draws: fast, our rasteriser; exact, Gymnasium's pixels without hidden work; gymnasium, the task as it "
            "comes.",
            options=RENDERERS,
            counts_as=lambda renderer: "gymnasium" if renderer == "exact" else renderer,
        ),
    ] = "fast"
    action_repeat: Annotated[int, Setting("Steps of the task for which each action is repeated.", at_least=1)] = 1
    crop_bottom: Annotated[
        float, Setting("Share of the picture's height that is cut off at its bottom.", at_least=0, at_most=0.9)
    ] = 0.0
    max_steps: Annotated[
        int,
        Setting(
            "Limit of a rollout in collecting and searching.", unit="steps of the task", at_least=2, counts="never"
        ),
    ] = 1000
    squash: Annotated[
        list[str], Setting("How each output of C becomes an action: tanh, tanh01, relu_tanh, clip.", stages=AGENTS)
    ] = field(default_factory=list)
    heuristic: Annotated[
        bool, Setting("CarRacing: the source study's hand-made rules for the pedals.", stages=AGENTS)
    ] = False
    heuristic_full_stop: Annotated[
        float, Setting("A brake from here on counts as a full stop.", stages=AGENTS, when=_heuristic)
    ] = 0.5
    heuristic_slow_down: Annotated[
        float, Setting("The brake that a full stop becomes.", stages=AGENTS, when=_heuristic)
    ] = 0.2
    heuristic_threshold: Annotated[
        float, Setting("Gas and brake up to here are not used.", stages=AGENTS, when=_heuristic)
    ] = 0.1
    default_source: Annotated[
        str | None, Setting("The task that transfer takes weights from unless told otherwise.", counts="never")
    ] = None

    def check(self) -> None:
        require(
            not self.heuristic or self.name == "car_racing",
            f"env.heuristic=true is CarRacing's own: got env={self.name}; set env.heuristic=false or env=car_racing",
        )
