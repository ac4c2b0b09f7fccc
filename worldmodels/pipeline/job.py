"""One training job: from the checked config to ``results.json``."""

import contextlib
import logging
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

from worldmodels.cli import prepare_process
from worldmodels.config import Config, plain
from worldmodels.objective import value_of
from worldmodels.pipeline.estimate import describe_time, stage_seconds
from worldmodels.pipeline.pipeline import Pipeline
from worldmodels.pipeline.source import without_effect
from worldmodels.rollouts.executor import make_executor
from worldmodels.store.building import Store
from worldmodels.store.loggers import Loggers, make_loggers
from worldmodels.store.results import assemble, keep_films
from worldmodels.store.runs import RESULTS, path_from
from worldmodels.store.summary import next_steps, print_results
from worldmodels.store.sweep_table import in_short
from worldmodels.transfer.config import strategy_label
from worldmodels.utils import console_log, live
from worldmodels.utils.console import make_console
from worldmodels.utils.disk import writing
from worldmodels.utils.files import write_json
from worldmodels.utils.sweeps import job_name

log = logging.getLogger(__name__)


def run_job(config: Config, source: Config | None, folder: Path) -> float | None:
    """Run the stages of one job and write its results into ``folder``: ``results.json`` after each stage, so that a
    later failure loses nothing. ``source``: the config of the source task, if one is to be trained. Returns the job's
    objective.
    """
    name = _name()
    title = f"{config.env.name}, {strategy_label(vars(config.transfer))}, {config.scale}, seed {config.seed}"
    with live.shown(name or title) as view:
        beside = name if live.several_write() else None
        with console_log.arranged(config.verbose, view is not None, beside):
            results = _run(config, source, folder, view)
    console = make_console()
    if name is not None and not config.details:
        console.print(f"{name}: {in_short(results)}", highlight=False, soft_wrap=True)
    else:
        print_results(results, console, config.details)
    console.print(f"results: {folder / RESULTS}", highlight=False, soft_wrap=True)
    if name is None:
        for line in next_steps(results, folder):
            console.print(line, highlight=False, soft_wrap=True)
    return value_of(results, config.objective)


def _name() -> str | None:
    """What sets this job apart in its sweep: ``job 3: freeze2 seed=1``; None where it is no sweep's."""
    if not HydraConfig.initialized() or HydraConfig.get().mode != RunMode.MULTIRUN:
        return None
    hydra = HydraConfig.get()
    differing = job_name(hydra.overrides.task, Path(hydra.sweep.dir))
    return f"job {hydra.job.num}: {differing}" if differing else f"job {hydra.job.num}"


def _run(config: Config, source: Config | None, folder: Path, view: live.View | None) -> dict[str, Any]:
    for line in without_effect(config):
        log.warning(line)
    store = Store(Path(config.paths.outputs) / "artifacts")
    cores = prepare_process(config.trainer.threads)
    results: dict[str, Any] = {}
    with contextlib.ExitStack() as stack:
        executor = stack.enter_context(contextlib.closing(make_executor(config.executor, cores)))
        workers = getattr(executor, "workers", config.executor.workers or cores)

        sources: list[Pipeline] = []
        made: list[Loggers] = []

        def pipeline(config: Config, folder: Path, first: bool = False) -> Pipeline:
            expected = stage_seconds(config, workers)
            for line in describe_time(config.env.name, expected, workers):
                log.info(line)
            if view is not None:
                view.expect(config.env.name, expected, config.controller.generations, first)
            loggers = stack.enter_context(contextlib.closing(make_loggers(config.logger, folder)))
            loggers.hyperparameters(plain(config))
            made.append(loggers)
            return Pipeline(config, store, executor, loggers, make_source)

        def make_source() -> Pipeline:
            assert source is not None
            sources.append(pipeline(source, folder / f"source-{source.env.name}", first=True))
            return sources[-1]

        target = pipeline(config, folder)
        for _ in target.run():
            source_artifacts = sources[0].artifacts if sources else {}
            root = path_from(folder, store.root)
            results = assemble(
                config, target.artifacts, source_artifacts, root, target.source_env, target.heldout_artifacts
            )
            with writing("the run's results", folder):
                write_json(folder / RESULTS, results)
        made[0].finish(results)
    if "evaluate" in target.artifacts:
        keep_films(target.artifacts["evaluate"].path, folder)
    return results
