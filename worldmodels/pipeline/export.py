"""A finished run's agent as a small folder, a run itself, that git can hold: what `Run.agent` and
``python -m worldmodels.evaluate`` read, and the run's results.
"""

import json
import logging
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from omegaconf import OmegaConf

from worldmodels.config import Config, PathsConfig, plain
from worldmodels.controller.agent import agent_models
from worldmodels.controller.coordinates import LOOK, SCALING
from worldmodels.envs import task_spec
from worldmodels.factory import make_memory, make_vision
from worldmodels.pipeline.stages import evaluate
from worldmodels.reports.tidy import write_csv
from worldmodels.store.artifacts import MANIFEST, WEIGHTS, Artifact, describe_files
from worldmodels.store.fingerprint import changes
from worldmodels.store.runs import RESULTS, FinishedRun
from worldmodels.transfer.weights import save_tensors
from worldmodels.utils.checks import require
from worldmodels.utils.disk import no_folder
from worldmodels.utils.errors import ConfigError
from worldmodels.utils.files import write_json
from worldmodels.vision.interface import Vision

CHANGES_RESULTS = False
log = logging.getLogger(__name__)
_warned: set[Path] = set()
ARTIFACTS, CONFIG, GENERATIONS = "artifacts", "config.yaml", "generations.csv"
GOES_ON_WITH = (SCALING, LOOK)  # beside its weights, what a search that starts from this C reads
UNEXPORTED = ("fitness",)  # columns of a generation: every individual's return


def export(run: FinishedRun, folder: Path, half: bool = False, decoder: bool = False) -> int:
    """Write the agent of ``run`` into ``folder``, in the place of one that was exported there before. Returns the bytes
    written. ``half``: the weights of V and M are stored as float16; they are float32 again when they are loaded, and
    the results are still those of the run, whose weights were not rounded. ``decoder``: V's decoder too, for films and
    dreams.

    The folder holds ``results.json``, ``config.yaml`` for people, ``generations.csv``, and under ``artifacts/`` V, M
    if C reads its state, and C. All is written beside it first, so that an export that fails leaves what was there.
    Raises `ConfigError` where the folder is a run of another kind, or ``run`` itself.
    """
    _require_free(folder)
    require(
        not (decoder and run.exported and run.exported["left_out"]),
        f"decoder=true: {run.folder} was exported without V's decoder: expected the run that it comes from",
    )
    require(folder.resolve() != run.folder.resolve(), f"to={folder} is the run itself: expected another folder")
    whole = Path(os.path.abspath(folder))
    partial = whole.with_name(f".{whole.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)  # of an earlier try that was killed
    try:
        partial.mkdir(parents=True)
    except OSError as error:
        raise ConfigError(no_folder(f"to={folder}", error)) from error
    try:
        _write(run, partial, half, decoder)
        size = sum(path.stat().st_size for path in _files(partial))
        _put(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return size


def _put(partial: Path, folder: Path) -> None:
    """Move a whole export to its place. Where there is a folder, the results come first: they say that it is one."""
    if not folder.exists():
        partial.rename(folder)
        return
    for name in (RESULTS, CONFIG, GENERATIONS):
        (partial / name).replace(folder / name)
    shutil.rmtree(folder / ARTIFACTS, ignore_errors=True)
    (partial / ARTIFACTS).rename(folder / ARTIFACTS)


def _write(run: FinishedRun, folder: Path, half: bool, decoder: bool) -> None:
    config, controller = run.config, run.controller
    models = {role: run.parent(controller, role) for role in agent_models(config)}
    left_out, exact = [], {}
    if "vision" in models:
        network = make_vision(config, models["vision"].weights)
        left_out = [] if decoder else unread(network)
        exact["vision"] = {name for name, _ in network.named_buffers()}
    if "memory" in models:
        size = task_spec(config.env).action_size
        exact["memory"] = {name for name, _ in make_memory(config, size, models["memory"].weights).named_buffers()}

    contents = {}
    for role, artifact in models.items():
        tensors = safetensors.torch.load_file(artifact.weights)
        missing = left_out if role == "vision" else []
        kept = {name: value for name, value in tensors.items() if name not in missing}
        target = _folder_of(folder, artifact)
        save_tensors(_halved(kept, exact[role]) if half else kept, target / WEIGHTS, missing)
        contents[role] = _write_manifest(target, artifact, {})
    target = _folder_of(folder, controller)
    for name in (WEIGHTS, *GOES_ON_WITH):
        if (path := controller.path / name).exists():
            shutil.copy(path, target / name)
    parents = {
        role: {**entry, "content": contents[role]}
        for role, entry in controller.manifest["parents"].items()
        if role in contents
    }
    _write_manifest(target, controller, parents)
    results = _results(run, config, {"half": half, "left_out": left_out})
    write_csv(folder / GENERATIONS, results["controller"]["generations"])
    (folder / CONFIG).write_text(OmegaConf.to_yaml(results["config"]), encoding="utf-8")
    write_json(folder / RESULTS, results)


def unread(network: Vision) -> list[str]:
    """Names of V's weights that `encode` does not read: what they are changes nothing that it gives."""
    frames = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    names = []
    with torch.inference_mode():
        for name, parameter in network.named_parameters():
            kept = parameter.detach().clone()
            parameter.fill_(torch.nan)
            if all(bool(part.isfinite().all()) for part in network.encode(frames)):
                names.append(name)
            parameter.copy_(kept)
    return names


def warn_of_other_code(run: FinishedRun) -> None:
    """Say of a run that was exported that code or libraries differ from those that it was scored by, and name the first
    of them: of each folder once in a process.
    """
    folder = run.folder.resolve()
    if run.exported is None or folder in _warned:
        return
    if changed := changes(run.exported["code"], evaluate.code_of(run.config)):
        _warned.add(folder)
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        log.warning("%s was exported from other code (%s%s): it may score otherwise here", run.folder, changed[0], more)


def _require_free(folder: Path) -> None:
    """A new folder, an empty one, or one of an earlier export."""
    require(folder.is_dir() or not folder.exists(), f"to={folder} is a file: expected a folder")
    if not folder.exists() or not any(folder.iterdir()):
        return
    try:
        free = "exported" in json.loads((folder / RESULTS).read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError):
        free = False
    require(free, f"to={folder} holds what is no export: expected a new folder, or one of an earlier export")


def _halved(tensors: Mapping[str, torch.Tensor], exact: Iterable[str]) -> dict[str, torch.Tensor]:
    """In float16, except for what is counted rather than trained. Raises `ConfigError` where one is too large."""
    halved = {
        name: value.half() if value.is_floating_point() and name not in exact else value
        for name, value in tensors.items()
    }
    for name, value in halved.items():
        require(bool(value.isfinite().all()), f"half=true cannot hold {name}: expected half=false")
    return halved


def _folder_of(folder: Path, artifact: Artifact) -> Path:
    target = folder / ARTIFACTS / artifact.manifest["stage"] / artifact.name
    target.mkdir(parents=True)
    return target


def _write_manifest(folder: Path, artifact: Artifact, parents: Mapping[str, Any]) -> str:
    """The manifest of the exported files. Returns the hash of their content."""
    kept = {name: value for name, value in artifact.manifest.items() if name not in ("config", "summary")}
    summary = {name: value for name, value in artifact.summary.items() if not isinstance(value, list)}
    manifest = {**kept, "parents": dict(parents), "summary": summary, **describe_files(folder)}
    write_json(folder / MANIFEST, manifest)
    return manifest["content"]


def _results(run: FinishedRun, config: Config, exported: Mapping[str, Any]) -> dict[str, Any]:
    """The run's results, where ``exported`` tells what became of it."""
    rows = run.results["controller"]["generations"]
    generations = [{name: value for name, value in row.items() if name not in UNEXPORTED} for row in rows]
    settings = {**plain(config), "paths": plain(PathsConfig())}
    if run.exported:
        code = run.exported["code"]
    elif "evaluate" in run.results["stages"]:
        code = run.artifact("evaluate").manifest["code"]
    else:
        code = evaluate.code_of(config)
    return {
        **run.results,
        "controller": {**run.results["controller"], "generations": generations},
        "artifacts": ARTIFACTS,
        "exported": {**exported, "code": code},
        "config": settings,
    }


def _files(folder: Path) -> list[Path]:
    """All that an export wrote."""
    artifacts = [path for path in (folder / ARTIFACTS).rglob("*") if path.is_file()]
    return [*artifacts, *(folder / name for name in (RESULTS, CONFIG, GENERATIONS))]
