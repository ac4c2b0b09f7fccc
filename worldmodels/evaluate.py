"""``python -m worldmodels.evaluate``: score a finished run's agent on the official task."""

from dataclasses import dataclass, field
from pathlib import Path

from omegaconf import MISSING, DictConfig

from worldmodels.cli import command, prepare_process
from worldmodels.config import plain, to_config
from worldmodels.store.runs import FinishedRun
from worldmodels.utils.checks import require_at_least


@dataclass
class EvaluateCommand:
    """Schema of ``conf/evaluate.yaml``."""

    run: str = MISSING
    episodes: int = 100
    video: bool = False
    workers: int | None = None
    allow: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        require_at_least("episodes", self.episodes, 1)
        require_at_least("workers", self.workers, 1)


def evaluate(composed: DictConfig) -> None:
    """Score the agent and write ``evaluation.json``, then the film. Episodes that an earlier evaluation of the same
    agent has played are not played again.
    """
    request = to_config(composed)
    run = FinishedRun(Path(request.run), request.allow)

    # What takes long to import waits until the request has been checked.
    import contextlib
    import dataclasses

    from hydra.core.hydra_config import HydraConfig

    from worldmodels.controller.config import EvaluateConfig
    from worldmodels.pipeline import filming
    from worldmodels.pipeline.export import warn_of_other_code
    from worldmodels.pipeline.stages import evaluate as stage
    from worldmodels.rollouts.config import ExecutorConfig
    from worldmodels.rollouts.executor import make_executor
    from worldmodels.store.earlier import take_over
    from worldmodels.store.journal import Journal
    from worldmodels.store.loggers import tensorboard
    from worldmodels.store.results import keep_films, score_line
    from worldmodels.store.wording import judged
    from worldmodels.utils.console import make_console
    from worldmodels.utils.disk import writing
    from worldmodels.utils.files import write_json

    settings = EvaluateConfig(episodes=request.episodes, max_steps=None, video=request.video)
    config = dataclasses.replace(run.config, evaluate=settings)
    folder = Path(HydraConfig.get().runtime.output_dir)
    cores = prepare_process()
    workers = request.workers or cores
    controller = run.controller
    warn_of_other_code(run)
    with contextlib.ExitStack() as stack:
        stack.enter_context(writing("an evaluation", folder))
        executor = stack.enter_context(contextlib.closing(make_executor(ExecutorConfig(), workers)))
        loggers = stack.enter_context(contextlib.closing(tensorboard(folder)))
        parents = controller.manifest["parents"]
        vision, memory = (run.parent(controller, role) if role in parents else None for role in ("vision", "memory"))
        agent = (vision.weights if vision else None, memory.weights if memory else None, controller.weights)
        contents = {part.manifest["stage"]: part.content for part in (vision, memory, controller) if part}
        take_over(folder, run.folder / "evaluations", {**contents, **stage.episodes_of(config)})
        journal = Journal(folder, loggers, "evaluate")
        score = stage.run(config, *agent, executor, journal)
        path = folder / "evaluation.json"
        write_json(path, {"run": str(run.folder.resolve()), "env": config.env.name, **score})
        if request.video:
            official = stage.official(config)
            filming.try_film(official, stage.seed_of(official, 0), *agent, journal, contextlib.nullcontext())
    keep_films(folder, folder)
    lines = [score_line(score), judged(score, plain(config)), f"results: {path}"]
    make_console().print(*filter(None, lines), sep="\n", soft_wrap=True)


if __name__ == "__main__":
    command("evaluate", evaluate, "evaluate_schema", EvaluateCommand)
