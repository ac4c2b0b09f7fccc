"""Finished models as Lightning's checkpoints, for ``VisionModule.load_from_checkpoint`` and its like.

The store keeps a model's weights once, as safetensors. A checkpoint is made from them when it is asked for: in memory
by ``load_from_checkpoint(folder)``, or as a file, which any Lightning program loads, by `export`::

    VisionModule.load_from_checkpoint("outputs/runs/…/…")  # a run, an artifact, or a .ckpt
    export("outputs/runs/…/…", "vision.ckpt", VisionModule)
"""

import io
import json
import sys
import zipfile
from pathlib import Path
from typing import Any

import lightning
import torch
from torch import nn

from worldmodels.store.artifacts import MANIFEST, WEIGHTS, load_artifact
from worldmodels.store.runs import RESULTS, FinishedRun
from worldmodels.transfer.weights import read_weights
from worldmodels.utils import parts
from worldmodels.utils.checks import require
from worldmodels.utils.errors import ConfigError
from worldmodels.utils.settings import Part

CHANGES_RESULTS = False
HYPER_PARAMETERS = "hyper_parameters"  # in the summary of an artifact


def as_checkpoint(path: Any, module: Any) -> Any:
    """``path`` itself if it is a file or an address; of the folder of an artifact, or of a run, a checkpoint in memory.
    ``module`` is a LightningModule that names the stage that trains it. Raises `ConfigError` where there is no such
    model.
    """
    if not isinstance(path, str | Path) or "://" in str(path):
        return path
    if Path(path).is_file():
        require(
            zipfile.is_zipfile(path),  # as torch writes them
            f"{path} is no checkpoint: expected one that Lightning wrote, a run's folder, or an artifact of "
            f"{module.stage}",
        )
        return path
    require(
        Path(path).is_dir(),
        f"{path} is not there: expected a checkpoint, a run's folder, or an artifact of {module.stage}",
    )
    buffer = io.BytesIO()
    torch.save(_checkpoint(Path(path), module), buffer)
    buffer.seek(0)
    return buffer


def export(folder: str | Path, path: str | Path, module: Any) -> None:
    """Write the finished model of an artifact, or of a run, as a checkpoint for ``module``."""
    torch.save(_checkpoint(Path(folder), module), path)


def require_imported(part: Part, value: Any, key: str) -> None:
    """Raise `ConfigError` where a checkpoint names a class that is neither of this package nor imported already, or no
    ``nn.Module``: loading a checkpoint runs no code that the program has not chosen.
    """
    path = parts.target(part, value, key)
    module = path.rpartition(".")[0]
    require(
        path.startswith("worldmodels.") or module in sys.modules,
        f"the checkpoint names {key}={path}, whose code would run: expected a class of worldmodels, or one that is "
        f"imported; if you trust it, import {module} first",
    )
    network_class = parts.find(part, value, key)
    require(
        isinstance(network_class, type) and issubclass(network_class, nn.Module),
        f"the checkpoint names {key}={path}: expected an nn.Module",
    )


def _checkpoint(folder: Path, module: Any) -> dict[str, Any]:
    stage = module.stage
    if (folder / RESULTS).exists():
        folder = FinishedRun(folder).artifact(stage).path
    if not (folder / MANIFEST).exists() or not (folder / WEIGHTS).exists():
        raise ConfigError(f"{folder} holds no model: expected a checkpoint, a run's folder, or an artifact of {stage}")
    artifact = load_artifact(folder)
    values = artifact.summary.get(HYPER_PARAMETERS)
    if artifact.manifest["stage"] != stage or values is None:
        raise ConfigError(
            f"{folder} is no {stage} that tells its hyper-parameters: expected one made by this version; run the "
            "training command again"
        )
    values = json.loads(json.dumps(values))
    lightning_module = module(**values)
    weights = {
        f"network.{name}": value for name, value in read_weights(artifact.weights, lightning_module.network).items()
    }
    return {
        "state_dict": lightning_module.state_dict() | weights,
        HYPER_PARAMETERS: values,
        "pytorch-lightning_version": lightning.__version__,
        "epoch": 0,
        "global_step": 0,
        "loops": {},
        "callbacks": {},
        "optimizer_states": [],
        "lr_schedulers": [],
    }
