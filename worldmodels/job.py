"""One training job inside Hydra: from the composed config to ``results.json``."""

import contextlib
import logging
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig
from rich.console import Console
from torch.utils.tensorboard.writer import SummaryWriter

from worldmodels.artifacts import Store, write_json
from worldmodels.cli import prepare_process
from worldmodels.config import Config, to_config
from worldmodels.estimate import describe_time, stage_seconds
from worldmodels.pipeline import Pipeline
from worldmodels.results import assemble, keep_films, print_measures, print_parameters, print_probes, print_summary
from worldmodels.rollouts.executor import make_executor
from worldmodels.runs import RESULTS, path_from

log = logging.getLogger(__name__)
NOT_INHERITED = ("env", "transfer", "stage", "hydra")  # a source task's own, or none of its business


def run_job(composed: DictConfig) -> None:
    """Run the stages of one job. ``results.json`` is written after each, so a later failure loses nothing."""
    config = to_config(composed)
    folder = Path(HydraConfig.get().runtime.output_dir)
    store = Store(Path(config.paths.outputs) / "artifacts")
    cores = prepare_process(config.trainer.threads)
    workers = config.executor.workers or cores
    console = Console()
    with contextlib.ExitStack() as stack:
        executor = stack.enter_context(contextlib.closing(make_executor(config.executor.name, workers)))

        sources: list[Pipeline] = []

        def pipeline(config: Config, folder: Path) -> Pipeline:
            log.info(describe_time(config.env.name, stage_seconds(config, workers), workers))
            writer = stack.enter_context(contextlib.closing(SummaryWriter(str(folder))))
            return Pipeline(config, store, executor, writer, make_source)

        def make_source() -> Pipeline:
            source = source_config(config)
            sources.append(pipeline(source, folder / f"source-{source.env.name}"))
            return sources[-1]

        target = pipeline(config, folder)
        results = {}
        for _ in target.run():
            source = sources[0].artifacts if sources else {}
            root = path_from(folder, store.root)
            results = assemble(config, target.artifacts, source, root, target.source_env, target.judged)
            write_json(folder / RESULTS, results)
    if "evaluate" in target.artifacts:
        keep_films(target.artifacts["evaluate"].path, folder)
    print_parameters(results["parameters"], console)
    if "probes" in results:
        print_probes(results["probes"], console)
    if "measures" in results:
        print_measures(results["measures"], console)
    print_summary(results, console)
    console.print(f"results: {folder / RESULTS}", soft_wrap=True)


def source_config(config: Config) -> Config:
    """The config of the source task: composed from the same command line with ``transfer=scratch`` on
    ``source_env``, with the target's V, which is trained on ``source_frames``.
    """
    overrides = [
        override.input_line
        for override in OverridesParser.create().parse_overrides(list(HydraConfig.get().overrides.task))
        if override.key_or_group.split(".")[0] not in NOT_INHERITED or override.key_or_group == "env.renderer"
    ]
    if not any(override is not None and override.startswith("vae=") for override in overrides):
        overrides.append(f"vae={HydraConfig.get().runtime.choices['vae']}")  # the target's, not the source task's own
    last = config.transfer.parts[-1]
    overrides += [f"env={config.transfer.source_env}", "transfer=scratch", f"stage={last}"]
    overrides.append(f"vae.frames={config.transfer.source_frames}")
    job = HydraConfig.get().job
    return to_config(hydra.compose(job.config_name, [override for override in overrides if override is not None]))
