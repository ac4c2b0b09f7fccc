"""What settings and figures were called before: what is refused with the new name, and how old runs are read."""

from collections.abc import Iterable, Mapping
from typing import Any

CHANGES_RESULTS = False
RENAMED = {
    "vae.salient_weight": "vae.loss.weight",
    "vae.salient_glimpse": "vae.loss.glimpse",
    "vae.salient_place": "vae.loss.place",
    "vae.perceptual_weight": "vae.loss.weight",
    "vae.perceptual_run": "vae.loss.run",
    "vae.gan_gamma": "vae.loss.gamma",
    "vae.gan_learning_rate": "vae.loss.learning_rate",
    "collect.persistence": "collect.policy.persistence",
    "collect.brownian_std": "collect.policy.std",
    "collect.bias": "collect.policy.bias",
    "heldout.persistence": "heldout.policy.persistence",
    "heldout.brownian_std": "heldout.policy.std",
    "heldout.bias": "heldout.policy.bias",
    "memory.network.carry": "memory.network.skip_gain",
    "controller.sigma": "controller.search.sigma",
    "controller.diagonal": "controller.search.diagonal",
    "executor.name": "executor.engine",
}
FIGURES = {"swapped": "mismatched_actions", "memory_minus_swapped": "memory_minus_mismatched_actions"}
_POLICY_SETTINGS = {
    "uniform": {},
    "sticky": {"persistence": "persistence"},
    "brownian": {"brownian_std": "std"},
    "biased": {"persistence": "persistence", "bias": "bias"},
}
_LOSS_PREFIXES = ("salient", "perceptual", "gan")


def migrated(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config of a run of an earlier version as today's; one of today's as it is. ``config`` stays as it is."""
    new = {name: dict(node) if isinstance(node, Mapping) else node for name, node in config.items()}
    _migrate_loss(new.get("vae", {}))
    for name in ("collect", "heldout"):
        _migrate_policy(new.get(name, {}))
    memory, controller, executor = (new.get(name, {}) for name in ("memory", "controller", "executor"))
    if "carry" in (network := memory.get("network", {})):
        memory["network"] = {"skip_gain" if key == "carry" else key: value for key, value in network.items()}
    if moved := _moved(controller, ("sigma", "diagonal")):
        controller["search"] = {"_target_": "cma_es", **moved}
    if moved := _moved(executor, ("name",)):
        executor["engine"] = moved["name"]
    if isinstance(readout := controller.get("readout"), bool):
        controller["readout"] = "state" if readout else None
    return new


def migrated_figures(figures: Any) -> Any:
    """M's measures of a run of an earlier version under today's names; those of today as they are."""
    if isinstance(figures, Mapping):
        return {FIGURES.get(name, name): migrated_figures(value) for name, value in figures.items()}
    return figures


def _migrate_loss(vae: dict[str, Any]) -> None:
    prefixes = tuple(f"{prefix}_" for prefix in _LOSS_PREFIXES)
    moved = _moved(vae, [name for name in vae if name.startswith(prefixes)])
    if moved and isinstance(loss := vae.get("loss"), str):
        settings = {
            name.removeprefix(f"{loss}_"): value for name, value in moved.items() if name.startswith(f"{loss}_")
        }
        vae["loss"] = {"_target_": loss, **settings}


def _migrate_policy(collect: dict[str, Any]) -> None:
    moved = _moved(collect, ("persistence", "brownian_std", "bias"))
    if moved and isinstance(policy := collect.get("policy"), str):
        settings = {new: moved[old] for old, new in _POLICY_SETTINGS[policy].items() if old in moved}
        collect["policy"] = {"_target_": policy, **settings}


def _moved(node: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """The settings of these names, taken out of ``node``."""
    return {name: node.pop(name) for name in names if name in node}
