"""Layer tables of V and M under every strategy: ``python experiments/parameter_tables/analyse.py [KEY=VALUE …]``.

Nothing is trained: networks are made, given a source's weights and frozen by the code that a run uses. ``layers.csv``
has a line for each layer, ``groups.csv`` one for each module that `results.json` names.
"""

import argparse
import functools
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hydra
from torch import nn

from worldmodels.config import Config, conf_dir, register_schema, to_config
from worldmodels.envs import task_spec
from worldmodels.factory import make_memory, make_vision
from worldmodels.reports.tidy import write_csv
from worldmodels.transfer.budgets import epochs_of, loaded_parts
from worldmodels.transfer.weights import prepare, save_weights

STUDY = Path(__file__).parent
TASKS = ("car_racing", "lunar_lander", "bipedal_walker")


def strategies() -> list[str]:
    """Every option of ``transfer``, from scratch first."""
    names = sorted(path.stem for path in (conf_dir() / "transfer").glob("*.yaml"))
    return sorted(names, key=lambda name: name != "scratch")


def networks(config: Config, source: Path | None = None) -> dict[str, nn.Module]:
    """V and M as a run makes them; M's adapter, if it has one, is as wide as the ``source``'s input layer."""
    return {
        "vision": make_vision(config),
        "memory": make_memory(config, task_spec(config.env).action_size, source=source),
    }


def tables(config: Config, source: Config, folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """``("layers", row)`` and ``("groups", row)`` of one task and strategy; ``folder``: for the source's weights."""
    transfer, files = config.transfer, {}
    for part, network in networks(source).items():
        files[part] = folder / f"{part}.safetensors"
        save_weights(network, files[part])
    for part, network in networks(config, files["memory"]).items():
        columns = network.latent_size if part == "memory" and transfer.input_layer == "keep_latent" else 0
        weights = files[part] if part in loaded_parts(transfer) else None
        counts = prepare(network, part, weights, transfer, epochs_of(config, part), columns)
        facts = {"env": config.env.name, "transfer": transfer.name, "part": part}
        kinds = ("total", "copied", "fresh", "frozen", "trainable")
        for group, values in {"": counts, **counts["groups"]}.items():
            yield "groups", {**facts, "group": group, **{kind: values[kind] for kind in kinds}}
        for name, layer in network.named_modules():
            parameters = dict(layer.named_parameters(recurse=False))
            if parameters:
                total = sum(parameter.numel() for parameter in parameters.values())
                trainable = sum(parameter.numel() for parameter in parameters.values() if parameter.requires_grad)
                shapes = " ".join("×".join(map(str, parameter.shape)) for parameter in parameters.values())
                layer_facts = {"layer": name, "shapes": shapes}
                yield (
                    "layers",
                    {**facts, **layer_facts, "total": total, "frozen": total - trainable, "trainable": trainable},
                )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--to", type=Path, default=STUDY, help="where the tables go")
    parser.add_argument("--tasks", nargs="+", default=TASKS, choices=TASKS, help="target tasks")
    parser.add_argument("overrides", nargs="*", default=["vae=cvae"], help="of every config; vae=cvae is the study's V")
    arguments = parser.parse_args()
    register_schema()
    rows_of: dict[str, list[dict[str, Any]]] = {"layers": [], "groups": []}
    with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"), tempfile.TemporaryDirectory() as folder:

        @functools.cache
        def composed(*overrides: str) -> Config:
            return to_config(hydra.compose("config", [*arguments.overrides, *overrides]))

        for env in arguments.tasks:
            for strategy in strategies():
                config = composed(f"env={env}", f"transfer={strategy}", "scale=paper")
                source = composed(f"env={config.transfer.source_env or config.env.default_source}", "scale=paper")
                for table, row in tables(config, source, Path(folder)):
                    rows_of[table].append(row)
    for table, rows in rows_of.items():
        write_csv(arguments.to / f"{table}.csv", rows)


if __name__ == "__main__":
    main()
