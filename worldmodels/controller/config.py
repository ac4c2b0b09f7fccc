"""The settings of C, of its search and of its evaluation."""

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

from worldmodels.controller.inputs import dreams, open_inputs, places, privileged
from worldmodels.utils.checks import require
from worldmodels.utils.settings import Part, Setting, Settings

CHANGES_RESULTS = False  # values count in the keys of artifacts
PLACES = ("reality", "dream")
READOUTS = ("salience", "state")
WARM_STARTS = ("mean", "covariance")
SEARCHES = {
    "cma_es": "worldmodels.controller.cma_es.CMAES",
    "sep_cma": "worldmodels.controller.sep_cma.SepCMA",
}
SEARCH = Part(
    "The search for C's parameters.",
    names=SEARCHES,
    counts="unless default",
    fits="worldmodels.controller.individuals.Individuals",
)


@dataclass
class PhaseConfig(Settings):
    """What changes in a search from a generation on; null leaves it as it is."""

    node: ClassVar[str] = "controller.phases"

    generation: Annotated[int, Setting("The first generation of the phase.", at_least=1)] = 1
    inputs: Annotated[
        list[str] | None, Setting("Those of controller.inputs that are open; the others' weights stay at 0.")
    ] = None
    rollouts: Annotated[int | None, Setting("Episodes of each individual.", at_least=1)] = None
    max_steps: Annotated[int | None, Setting("Limit of an episode.", unit="steps of the task", at_least=1)] = None
    patience: Annotated[int | None, Setting("As controller.patience.", unit="steps of the task", at_least=1)] = None
    opening_step: Annotated[
        float, Setting("First step of inputs that are opened, as a share of the others'.", above=0)
    ] = 0.3
    search: Annotated[
        dict[str, Any] | None, Setting("Settings of the search that change, where inputs are opened.")
    ] = None
    where: Annotated[str | None, Setting("As controller.where.", options=PLACES)] = None
    temperature: Annotated[float | None, Setting("As controller.temperature.", at_least=0.001)] = None


@dataclass
class ControllerConfig(Settings):
    """C and its search. Every individual of a generation meets the same episodes. ``patience`` suits a task like
    CarRacing, where a step costs and progress pays; where a failure is punished at its end, the cut would spare the
    agent that.

    With ``where=dream`` C is searched inside M alone (Ha & Schmidhuber 2018, section 4): thousands of dreams at once,
    each from a real frame of M's training rollouts (``starts``), whose score and end M's heads decide. The task then
    tells the search nothing: ``validate_every`` also scores the search's mean in held-out dreams (``dream`` in the
    table), which chooses the agent, and the score in the task (``validation``) only stands beside it. Above τ = 1 a
    dream is less certain than M believes and harder to exploit. Both kinds of generations go into one search by
    ``phases``: dreams first, then the task.
    """

    node: ClassVar[str] = "controller"

    search: Annotated[Any, SEARCH] = field(default_factory=lambda: {"_target_": "cma_es"})
    where: Annotated[
        str,
        Setting(
            "Where C is searched: reality, in the task, or dream, inside M, which then needs an end head, and a reward "
            "head unless env.step_reward is set.",
            options=PLACES,
            counts="unless default",
        ),
    ] = "reality"
    temperature: Annotated[
        float, Setting("τ of the dreams of the search.", at_least=0.001, when=lambda search: dreams(search))
    ] = 1.0
    end_threshold: Annotated[
        float | None,
        Setting(
            "A dream ends where M's probability of an end reaches it, 0.5 in the paper's code, whose M was trained "
            "with ends weighted tenfold; null draws the end with that probability, so that dreams are as long as M "
            "believes.",
            above=0,
            at_most=1,
            when=lambda search: dreams(search),
        ),
    ] = None
    starts: Annotated[
        str,
        Setting(
            "Where dreams of the search begin: first, at first frames of real rollouts, as in the paper; any, at 16 "
            "frames of each of 64 of them, both evenly spaced, with M's state of then, so that there are dangers that "
            "M seldom dreams up. Held-out dreams begin at first frames, as episodes do.",
            options=("first", "any"),
            when=lambda search: dreams(search),
        ),
    ] = "first"
    inputs: Annotated[list[str], Setting("What C sees: [z], [z, h] or [z, h, c]; or [state], the true state.")] = field(
        default_factory=lambda: ["z", "h"]
    )
    readout: Annotated[
        str | None,
        Setting(
            "Search only the C's that act on a linear read-out from their inputs, fitted on the encoded rollouts: of "
            "what the pictures show, salience (where their most salient thing is, what it looks like, and how both are "
            "about to change, 20 numbers), or of the true state, which no picture tells. null searches all C's.",
            options=READOUTS,
            counts="unless default",
            counts_as=lambda value, _: True if value == "state" else value,
        ),
    ] = None
    hidden: Annotated[
        int | None,
        Setting(
            "Units of a hidden layer of tanh between what C reads and its outputs; null has none: C is linear.",
            at_least=1,
            at_most=1000,
            counts="unless default",
        ),
    ] = None
    population: Annotated[int, Setting("Individuals of a generation.", at_least=4)] = 32
    rollouts: Annotated[int, Setting("Episodes of each individual.", at_least=1)] = 2
    generations: Annotated[int, Setting("Generations of the search.", at_least=1)] = 20
    seed: Annotated[
        int | None,
        Setting(
            "Seed of the search; null takes the run's. Others search again on the same data, V and M, so that they are "
            "no independent runs, and a report keeps them apart.",
            at_least=0,
            counts="unless default",
        ),
    ] = None
    warm_start: Annotated[
        str | None,
        Setting(
            "What a search that starts from a source's C takes of that one's search: mean, its agent alone, or "
            "covariance, also how its C's varied at its end, widened by a tenth of a usual first step (after Nomura et "
            "al. 2021). null: mean; with readout=salience the covariance, as it was.",
            options=WARM_STARTS,
            counts="unless default",
        ),
    ] = None
    after: Annotated[
        int,
        Setting(
            "Generations of an earlier search that this one goes on from: it meets other episodes than they did.",
            at_least=0,
            counts="unless default",
        ),
    ] = 0
    max_steps: Annotated[
        int | None,
        Setting("Limit of an episode of the search; null takes env.max_steps.", unit="steps of the task", at_least=1),
    ] = None
    patience: Annotated[
        int | None,
        Setting(
            "End an episode of the search after so many steps without a reward above 0 (with action_repeat: without a "
            "sum above 0); null takes env.patience. Not in dreams.",
            unit="steps of the task",
            at_least=1,
        ),
    ] = None

    standardise: Annotated[
        bool,
        Setting(
            "Search in coordinates in which every input has mean 0 and deviation 1 over the encoded rollouts; what "
            "hardly moves has less (controller.least_deviation).",
        ),
    ] = True
    least_deviation: Annotated[
        float,
        Setting(
            "An input's number counts as moving by at least this share of what the input's liveliest number does.",
            above=0,
            at_most=1,
            when=lambda search: search.standardise,
        ),
    ] = 0.3
    phases: Annotated[
        list[PhaseConfig],
        Setting("Changes from a generation on: inputs that open, more or longer episodes.", counts="unless default"),
    ] = field(default_factory=list)
    validate_every: Annotated[
        int | None,
        Setting(
            "Generations between scores of the search's mean on episodes that the search never meets; the best mean is "
            "then the agent, in a search in dreams the one with the best held-out dreams. null: the last mean is.",
            at_least=1,
            counts="unless default",
        ),
    ] = None
    validation_episodes: Annotated[
        int,
        Setting("Episodes of such a score.", at_least=2, when=lambda search: search.validate_every is not None),
    ] = 16
    film: Annotated[
        bool,
        Setting("Whether an episode of the mean is also shown in TensorBoard, as a GIF, each time.", counts="never"),
    ] = True
    target: Annotated[float | None, Setting("Stop where such a score reaches it.", counts="unless default")] = None
    max_minutes: Annotated[
        float | None,
        Setting("Stop with the generation in which the search has taken so long.", above=0, counts="unless default"),
    ] = None

    def check(self) -> None:
        allowed = (["z"], ["z", "h"], ["z", "h", "c"])
        require(
            list(self.inputs) in (*allowed, ["state"]),
            f"controller.inputs={list(self.inputs)} is unknown: expected [z], [z,h] or [z,h,c], or [state]",
        )
        require(
            self.readout is None or list(self.inputs) != ["state"],
            f"controller.readout={self.readout} reads out of what C sees: expected controller.inputs=[z] or [z,h]",
        )
        for phase in self.phases:
            require(
                phase.inputs is None or (self.readout is None and privileged(self) is None),
                f"controller.phases open inputs={phase.inputs} from generation {phase.generation} on, and "
                f"{privileged(self) or 'C acts on a read-out'}: expected no inputs in phases; set controller.phases=[]",
            )
        for phase in self.phases:
            require(
                phase.inputs is None or phase.inputs in allowed,
                f"controller.phases: inputs={phase.inputs} from generation {phase.generation} on is unknown: expected "
                "[z], [z,h] or [z,h,c]",
            )
        ordered = sorted(self.phases, key=lambda phase: phase.generation)
        require(
            len({phase.generation for phase in ordered}) == len(ordered),
            f"controller.phases begin at generations {[phase.generation for phase in ordered]}: expected each once",
        )
        before: list[str] | None = None
        for phase in ordered:
            opens = open_inputs(self, phase.generation)
            require(
                before is None or opens[: len(before)] == before,
                f"controller.phases: inputs={phase.inputs} from generation {phase.generation} on close what is open, "
                f"{before}: expected inputs that are only opened",
            )
            require(
                phase.search is None or opens != before,
                f"controller.phases: search={phase.search} from generation {phase.generation} on changes nothing, "
                "because the search goes on there: expected it in a phase that opens inputs",
            )
            require(
                before is None or "sigma" not in (phase.search or {}),
                f"controller.phases: search.sigma from generation {phase.generation} on is not used: expected "
                "opening_step, the first step of what is opened as a share of the others'",
            )
            before = opens
        require(
            self.target is None or self.validate_every is not None,
            f"controller.target={self.target} is about validation scores: expected controller.validate_every, for "
            "example 5",
        )
        require(
            self.target is None or "reality" in places(self),
            f"controller.target={self.target} is about scores in the task, which a search in dreams does not see: "
            "expected controller.target=null, or controller.where=reality",
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
