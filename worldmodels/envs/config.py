"""The settings of a task."""

import re
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

from worldmodels.utils import parts
from worldmodels.utils.checks import require
from worldmodels.utils.settings import Part, Setting, Settings

CHANGES_RESULTS = False  # values count in the keys of artifacts
RENDERERS = ("auto", "gymnasium", "exact", "fast")
VIEWS = ("whole", "follow")
LONGEST_NAME = 60  # characters
NAME = re.compile(rf"[^\W_][\w.+-]{{0,{LONGEST_NAME - 1}}}")
TASKS = {  # imported only where they are used, so that the code of one does not count for another
    "car_racing": "worldmodels.envs.car_racing.CarRacing",
    "lunar_lander": "worldmodels.envs.lunar_lander.LunarLander",
    "bipedal_walker": "worldmodels.envs.bipedal_walker.BipedalWalker",
}
ANY_TASK = "worldmodels.envs.task.Task"
TASK = Part(
    "What a task tells beside its environment: its true state, targets of probes, a scene; null takes the class of "
    "that env.name, or one that tells nothing.",
    names=TASKS,
    when=lambda env: env.task is not None,
    fits=ANY_TASK,
)
AGENTS = ("controller", "evaluate")  # stages in which an agent acts


def _drawn_by(_: str, env: "EnvConfig") -> str:
    from worldmodels.envs.renderers import drawn_by  # looks at the task's class

    return drawn_by(env)


def _heuristic(env: "EnvConfig") -> bool:
    return env.heuristic


@dataclass
class EnvConfig(Settings):
    """A task. ``id`` and ``kwargs`` go to `gymnasium.make`; any environment does whose actions `ActionCodec` knows."""

    node: ClassVar[str] = "env"

    name: Annotated[str, Setting("The task's name in folders and tables.")] = "car_racing"
    id: Annotated[str, Setting("Gymnasium id; package:id imports the package that registers it.")] = "CarRacing-v3"
    kwargs: Annotated[dict[str, Any], Setting("Arguments of gymnasium.make.")] = field(default_factory=dict)
    renderer: Annotated[
        str,
        Setting(
            "Who draws: fast, our rasteriser; exact, Gymnasium's pixels without hidden work; gymnasium, the task as it "
            "comes; auto, fast where the task has a scene, else gymnasium.",
            options=RENDERERS,
            shared=True,
            counts_as=_drawn_by,
        ),
    ] = "auto"
    task: Annotated[Any, TASK] = None
    picture: Annotated[
        str,
        Setting(
            "Where the agent's picture comes from: render, the observation, or a key of a Dict observation; auto takes "
            "an observation that is a picture, else render.",
            counts="unless default",
        ),
    ] = "auto"
    view: Annotated[
        str,
        Setting(
            "How much of the task's picture the agent sees: whole, or follow, a window that follows the agent as a "
            "camera does, in a task that has one (BipedalWalker).",
            options=VIEWS,
            counts="unless default",
        ),
    ] = "whole"
    action_repeat: Annotated[
        int, Setting("Steps of the task for which each action is repeated.", at_least=1, shared=True)
    ] = 1
    crop_bottom: Annotated[
        float, Setting("Share of the picture's height that is cut off at its bottom.", at_least=0, at_most=0.9)
    ] = 0.0
    max_steps: Annotated[
        int,
        Setting(
            "Limit of a rollout in collecting and searching, where collect.max_steps, heldout.max_steps or "
            "controller.max_steps is null, as in few scales.",
            unit="steps of the task",
            at_least=2,
            counts="never",
            shared=True,
        ),
    ] = 1000
    patience: Annotated[
        int | None,
        Setting(
            "controller.patience of this task, unless that is set.",
            unit="steps of the task",
            at_least=1,
            counts="never",
        ),
    ] = None
    step_reward: Annotated[
        float | None,
        Setting(
            "What each step of the task pays, where it always pays the same: the score of a dream is then the number "
            "of its steps, and M needs no reward head. null: M's reward head tells.",
            counts="never",
        ),
    ] = None
    solved: Annotated[
        float | None,
        Setting(
            "The score that counts as solved, for what a run tells; null: what Gymnasium says of the task.",
            counts="never",
        ),
    ] = None
    squash: Annotated[
        list[str],
        Setting(
            "How an output of C becomes a continuous action: tanh, tanh01, relu_tanh, clip; none: tanh to the bounds.",
            stages=AGENTS,
        ),
    ] = field(default_factory=list)
    discrete: Annotated[
        str,
        Setting(
            "How C chooses: argmax of an output for each option, or threshold, intervals of one output's tanh.",
            options=("argmax", "threshold"),
            counts="unless default",
            stages=AGENTS,
        ),
    ] = "argmax"
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
    shipped: Annotated[
        dict[str, Any],
        Setting(
            "What the task's own file says of id and kwargs, noted when a run begins: a score of another task is not "
            "official. Not to be set.",
            counts="never",
        ),
    ] = field(default_factory=dict)
    default_source: Annotated[
        str | None, Setting("The task that transfer takes weights from unless told otherwise.", counts="never")
    ] = None

    def check(self) -> None:
        require(
            NAME.fullmatch(self.name) is not None,
            f"env.name={self.name[:80]} cannot name folders: expected letters, digits, _ . + or -, {LONGEST_NAME} at "
            "most, the first a letter or a digit, for example env.name=my_task",
        )
        require(
            not self.heuristic or self.name == "car_racing",
            f"env.heuristic=true is CarRacing's own: got env={self.name}; set env.heuristic=false or env=car_racing",
        )


def task_path(env: EnvConfig) -> str:
    """Dotted path of the task's class."""
    default_path = TASKS.get(env.name, ANY_TASK)
    return default_path if env.task is None else parts.target(TASK, env.task, "env.task")
