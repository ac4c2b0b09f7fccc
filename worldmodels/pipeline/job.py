"""One training job: from the checked config to ``results.json``."""

import contextlib
import logging
from pathlib import Path

from worldmodels.cli import prepare_process
from worldmodels.config import Config, plain
from worldmodels.objective import value_of
from worldmodels.pipeline.estimate import describe_time, stage_seconds
from worldmodels.pipeline.pipeline import Pipeline
from worldmodels.pipeline.source import without_effect
from worldmodels.rollouts.executor import make_executor
from worldmodels.store.artifacts import Store, write_json
from worldmodels.store.loggers import make_loggers
from worldmodels.store.results import assemble, keep_films
from worldmodels.store.runs import RESULTS, path_from
from worldmodels.store.summary import print_results
from worldmodels.utils.console import make_console
from worldmodels.utils.disk import writing

log = logging.getLogger(__name__)


def run_job(config: Config, source: Config | None, folder: Path) -> float | None:
    """Run the stages of one job and write its results into ``folder``: ``results.json`` after each stage, so that a
    later failure loses nothing. ``source``: the config of the source task, if one is to be trained. Returns the job's
    objective.
    """
    for line in without_effect(config):
        log.warning(line)
    store = Store(Path(config.paths.outputs) / "artifacts")
    cores = prepare_process(config.trainer.threads)
    with contextlib.ExitStack() as stack:
        executor = stack.enter_context(contextlib.closing(make_executor(config.executor, cores)))
        workers = getattr(executor, "workers", config.executor.workers or cores)

        sources: list[Pipeline] = []

        def pipeline(config: Config, folder: Path) -> Pipeline:
            log.info(describe_time(config.env.name, stage_seconds(config, workers), workers))
            loggers = stack.enter_context(contextlib.closing(make_loggers(config.logger, folder)))
            loggers.hyperparameters(plain(config))
            return Pipeline(config, store, executor, loggers, make_source)

        def make_source() -> Pipeline:
            assert source is not None
            sources.append(pipeline(source, folder / f"source-{source.env.name}"))
            return sources[-1]

        target = pipeline(config, folder)
        results = {}
        for _ in target.run():
            source_artifacts = sources[0].artifacts if sources else {}
            root = path_from(folder, store.root)
            results = assemble(
                config, target.artifacts, source_artifacts, root, target.source_env, target.heldout_artifacts
            )
            with writing("the run's results", folder):
                write_json(folder / RESULTS, results)
    if "evaluate" in target.artifacts:
        keep_films(target.artifacts["evaluate"].path, folder)
    print_results(results, make_console(), config.details)
    make_console().print(f"results: {folder / RESULTS}", soft_wrap=True)
    return value_of(results, config.objective)
