"""The settings of random rollouts, and of where rollouts run."""

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

from worldmodels.utils.checks import require
from worldmodels.utils.settings import Part, Setting, Settings

CHANGES_RESULTS = False  # values count in the keys of artifacts
POLICIES = {
    "uniform": "worldmodels.rollouts.policies.uniform.Uniform",
    "sticky": "worldmodels.rollouts.policies.sticky.Sticky",
    "brownian": "worldmodels.rollouts.policies.brownian.Brownian",
    "biased": "worldmodels.rollouts.policies.biased.Biased",
    "agent": "worldmodels.rollouts.policies.agent.AgentPlayers",
}
ENGINES = {
    "process": "worldmodels.rollouts.processes.ProcessExecutor",
    "ray": "worldmodels.rollouts.cluster.RayExecutor",
    "serial": "worldmodels.rollouts.executor.SerialExecutor",
}


def _random(config: Any) -> bool:
    """Whether the rollouts are played, and not recorded elsewhere."""
    return getattr(config, "recorded", None) is None


def _recorded(source: str, _: Any) -> str:
    """What recorded rollouts count as: what their files hold."""
    from worldmodels.rollouts.recorded import digest

    return digest(source)


def _mixed(run: str, _: Any) -> str:
    """What the rollouts of an earlier run count as: what their files hold."""
    from worldmodels.rollouts.mixing import content_of

    return content_of(run)


POLICY = Part(
    "What chooses the actions.", names=POLICIES, when=_random, fits="worldmodels.rollouts.policies.base.Policy"
)
ENGINE = Part("What runs the rollouts.", names=ENGINES, counts="never", fits="worldmodels.rollouts.executor.Executor")


@dataclass
class RolloutsConfig(Settings):
    """Random rollouts. The data set is the first of them, whole, as few as hold ``frames`` frames: two at least,
    ``rollouts`` at most.
    """

    node: ClassVar[str] = ""  # of the tree; the random stream has the same name

    rollouts: Annotated[int, Setting("Rollouts at most.", at_least=2)] = 10_000
    frames: Annotated[
        int | None,
        Setting("Stop with the rollout that reaches so many frames; null collects every rollout.", at_least=1),
    ] = None
    max_steps: Annotated[
        int | None,
        Setting("Limit of a rollout; null takes env.max_steps.", unit="steps of the task", at_least=2, when=_random),
    ] = None
    policy: Annotated[Any, POLICY] = field(default_factory=lambda: {"_target_": "uniform"})
    scatter: Annotated[
        bool,
        Setting(
            "Begin anywhere on CarRacing's track, which random drivers otherwise hardly see.",
            when=lambda c: c.scatter and _random(c),
        ),
    ] = False
    seed: Annotated[
        int | None,
        Setting(
            "Seed of the rollouts; null takes the run's; a number shares one data set between seeds.",
            at_least=0,
            when=_random,
        ),
    ] = None


@dataclass
class CollectConfig(RolloutsConfig):
    """What V and M are trained on: random rollouts of the task, or recorded ones from elsewhere."""

    node: ClassVar[str] = "collect"

    mix: Annotated[
        str | None,
        Setting(
            "Folder of a finished run whose rollouts are in the data set too, beside the new ones.",
            counts="unless default",
            counts_as=_mixed,
            when=_random,
        ),
    ] = None
    recorded: Annotated[
        str | None,
        Setting(
            "Recorded rollouts in place of random ones: a folder of .npz files, or minari: and the name or folder of a "
            "data set.",
            counts="unless default",
            counts_as=_recorded,
        ),
    ] = None
    recorded_key: Annotated[
        str | None,
        Setting("Key of the pictures where a recording's observations are a Dict.", counts="unless default"),
    ] = None

    def check(self) -> None:
        require(
            self.recorded is None or self.mix is None,
            f"collect.recorded={self.recorded} takes the place of new rollouts, which collect.mix={self.mix} joins: "
            "expected one of them",
        )


@dataclass
class HeldoutConfig(RolloutsConfig):
    """Rollouts that no model is trained on, the same for every run of a task and scale."""

    node: ClassVar[str] = "heldout"

    rollouts: Annotated[int, Setting("Rollouts at most.", at_least=2)] = 1000
    frames: Annotated[
        int | None,
        Setting("Stop with the rollout that reaches so many frames; null collects every rollout.", at_least=1),
    ] = 5000
    policy: Annotated[Any, POLICY] = field(default_factory=lambda: {"_target_": "sticky"})
    scatter: Annotated[bool, Setting("As collect.scatter.", when=lambda c: c.scatter)] = True
    seed: Annotated[int | None, Setting("Seed of the rollouts, the same for all runs.", at_least=0)] = 0


@dataclass
class ExecutorConfig(Settings):
    """Where rollouts run. Nothing here changes a result."""

    node: ClassVar[str] = "executor"

    engine: Annotated[Any, ENGINE] = field(default_factory=lambda: {"_target_": "process"})
    workers: Annotated[
        int | None,
        Setting(
            "Processes; null takes this job's share of the cores, and all those of a cluster.",
            at_least=1,
            counts="never",
        ),
    ] = None
    address: Annotated[
        str | None,
        Setting(
            "The cluster, for executor=ray: auto for one that runs on this machine, ray://HOST:10001 for another; null "
            "starts one here.",
            counts="never",
        ),
    ] = None
    slots: Annotated[int, Setting("Episodes at once in a worker.", at_least=1, counts="never")] = 16
