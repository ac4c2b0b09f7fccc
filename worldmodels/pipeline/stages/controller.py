"""Controller: search C's parameters by the returns of the whole agent in the task, or of C in dreams of M."""

from typing import Any

from worldmodels.config import Config
from worldmodels.controller.agent import agent_inputs, agent_models, agent_parts, knows
from worldmodels.controller.config import SEARCH, ControllerConfig
from worldmodels.controller.coordinates import search_space
from worldmodels.controller.inputs import dreams, places, privileged, read_inputs
from worldmodels.controller.phases import REPLACED, check_phases, phase_table
from worldmodels.controller.policy import Shape
from worldmodels.controller.search import goes_on
from worldmodels.controller.warm_start import LARGEST, Source, usual_start
from worldmodels.envs.registry import task_parts
from worldmodels.envs.renderers import rollout_libraries
from worldmodels.factory import beside_weights
from worldmodels.memory.config import NETWORK as MEMORY
from worldmodels.pipeline.scoring import search_seed
from worldmodels.pipeline.searching import run
from worldmodels.pipeline.stage import Stage, Work, strategy
from worldmodels.store.building import Length
from worldmodels.utils import parts
from worldmodels.utils.checks import require
from worldmodels.utils.settings import counted


def check(config: Config, outputs: int) -> None:
    """Raise `ConfigError` where the search cannot be made, before anything is trained for it."""
    require(
        privileged(config.controller) is None or "controller" not in config.transfer.load,
        f"transfer={config.transfer.name} starts from a source's C, and {privileged(config.controller)}: expected "
        "another strategy, for example transfer=scratch",
    )
    require(
        config.controller.warm_start != "covariance" or goes_on(config.controller),
        f"controller.warm_start=covariance: controller.search={parts.name(SEARCH, config.controller.search)} cannot go "
        "on from a covariance: expected a search that takes one, such as cma_es, or controller.warm_start=mean",
    )
    settings, sizes = search_space(config)
    size = Shape(sum(sizes.values()), outputs, settings.hidden).size
    require(
        config.controller.warm_start != "covariance" or size <= LARGEST,
        f"controller.warm_start=covariance: a covariance of {size:,} parameters takes {size**2 * 8 / 1e9:.1f} GB "
        f"several times over: expected {LARGEST:,} parameters at most; set controller.warm_start=mean, or "
        "choose smaller controller.inputs",
    )
    check_phases(settings, sizes, outputs, search_seed(config))


def _inputs(config: Config) -> dict[str, Any]:
    search = config.controller
    table = phase_table(search)
    skipped = {"phases", "patience"} | (set() if _warm_start_counts(config) else {"warm_start"})
    patience = {"patience": search.patience or config.env.patience} if "reality" in places(search) else {}
    paid = {"step_reward": config.env.step_reward} if dreams(search) and config.env.step_reward is not None else {}
    return {
        "env": {**counted(config.env, "controller"), **paid},
        "controller": {
            **{name: value for name, value in counted(search).items() if name not in skipped},
            "inputs": read_inputs(search),
            **({"phases": table} if _changes(search, table) else {}),
            "max_steps": search.max_steps or config.env.max_steps,
            **patience,
            **_validated(config),
        },
        **agent_inputs(config),
        **_of_dreams(config),
    }


def _warm_start_counts(config: Config) -> bool:
    """Whether the search starts from a source's C, and otherwise than it would by itself."""
    search = config.controller
    return "controller" in config.transfer.load and search.warm_start != usual_start(search)


def _of_dreams(config: Config) -> dict[str, Any]:
    """What dreams depend on besides M's weights: M, and in which rollouts, those that it was trained on, they begin."""
    if not dreams(config.controller):
        return {}
    networks = beside_weights(config, *agent_models(config), "memory")
    return {"validation_fraction": config.memory.validation_fraction, **networks}


def _validated(config: Config) -> dict[str, int]:
    """The limit of the episodes that choose the agent, where it is not that of the search."""
    search, limit = config.controller, config.env.max_steps
    cut = search.max_steps is not None and search.max_steps != limit
    return {"validation_max_steps": limit} if search.validate_every is not None and cut else {}


def _changes(search: ControllerConfig, table: list[dict[str, Any]]) -> bool:
    """Whether phases change what a key says of the search without them; its inputs are those of the last one."""
    whole = {**{name: getattr(search, name) for name in REPLACED}, "search": None}
    first = table[0]["settings"]
    return len(table) > 1 or any(first.get(name, value) != value for name, value in whole.items())


def _build(work: Work) -> dict[str, Any]:
    source = Source(work.parents["source"].weights, work.source_outputs or 0) if "source" in work.parents else None
    models = work.weights("vision"), work.weights("memory")
    rollouts = [work.path(role) if role in work.parents else None for role in ("encoded", "dataset")]
    outputs = work.spec.outputs
    return run(work.config, *models, outputs, source, work.executor, work.folder, work.journal, *rollouts)


def _parents(config: Config) -> dict[str, str]:
    search, dreamt = config.controller, dreams(config.controller)
    parents = agent_models(config) | ({"memory": "memory"} if dreamt else {})
    if search.readout or dreamt or (search.standardise and not knows(config)):
        parents |= {"encoded": "encode"}
    if search.readout or (search.standardise and knows(config)):
        parents |= {"dataset": "collect"}
    return parents


STAGE = Stage(
    name="controller",
    parents=_parents,
    inputs=_inputs,
    build=_build,
    label=strategy,
    parts=lambda config: [
        *task_parts(config.env),
        *agent_parts(config),
        *(parts.targets(MEMORY, config.memory.network, "memory.network") if dreams(config.controller) else []),
        parts.target(SEARCH, config.controller.search),
    ],
    libraries=lambda config: ["torch", *rollout_libraries(config.env)],
    loads="controller",
    length=lambda config: Length(("controller", "generations")),  # a search knows only what it is told
)
