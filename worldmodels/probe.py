"""``python -m worldmodels.probe``: how much of the true state a finished run's V and M carry, and how good M is, on
held-out rollouts.
"""

from dataclasses import dataclass, field
from pathlib import Path

from omegaconf import MISSING, DictConfig

from worldmodels.cli import command, prepare_process
from worldmodels.config import to_config
from worldmodels.store.runs import FinishedRun
from worldmodels.utils.checks import require, require_at_least


@dataclass
class ProbeCommand:
    """Schema of ``conf/probe.yaml``."""

    run: str = MISSING
    scored: float | None = None
    epochs: int | None = None
    workers: int | None = None
    allow: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        require(
            self.scored is None or 0 < self.scored < 1,
            f"scored={self.scored} is out of range: expected a fraction between 0 and 1",
        )
        require_at_least("epochs", self.epochs, 1)
        require_at_least("workers", self.workers, 1)


def probe(composed: DictConfig) -> None:
    """Probe and measure V, and M if the run has one; write ``probes.json``. Nothing of the run is changed."""
    request = to_config(composed)
    run = FinishedRun(Path(request.run), request.allow)

    # What takes long to import waits until the request has been checked.
    import contextlib
    import dataclasses

    from hydra.core.hydra_config import HydraConfig

    from worldmodels.factory import require_decoder
    from worldmodels.pipeline.stages import collect, encode, measure, measure_vision
    from worldmodels.pipeline.stages import probe as stage
    from worldmodels.rollouts.config import ExecutorConfig
    from worldmodels.rollouts.executor import make_executor
    from worldmodels.store.journal import Journal
    from worldmodels.store.loggers import tensorboard
    from worldmodels.store.results import print_measures, print_probes
    from worldmodels.utils.console import make_console
    from worldmodels.utils.files import write_json

    overrides = {key: getattr(request, key) for key in ("scored", "epochs") if getattr(request, key) is not None}
    config = dataclasses.replace(run.config, probe=dataclasses.replace(run.config.probe, **overrides))
    memory = run.memory.weights if "memory" in run.results["stages"] else None
    trained_on = None if memory is None else run.artifact("encode").path  # which an export lacks
    vision = require_decoder(run.vision.weights)
    folder = Path(HydraConfig.get().runtime.output_dir)
    workers = request.workers or prepare_process()
    measures = {}
    with contextlib.ExitStack() as stack:
        executor = stack.enter_context(contextlib.closing(make_executor(ExecutorConfig(), workers)))
        loggers = stack.enter_context(contextlib.closing(tensorboard(folder)))
        heldout = run.heldout_folder("heldout")
        if heldout is None:
            heldout = folder / "heldout"
            heldout.mkdir()
            collect.run(config, executor, heldout, "heldout")
        encoded = run.heldout_folder("heldout_encode")
        if encoded is None:
            encoded = folder / "heldout_encode"
            encoded.mkdir()
            encode.run(config, heldout, vision, encoded)

        def journal(name: str) -> Journal:
            return Journal(folder / name, loggers, name)

        measures["vision"] = measure_vision.vision(config, heldout, encoded, vision, journal("measure_vision"))
        probes = {}
        if stage.shows(config):
            probes["vision"] = stage.vision(config, heldout, encoded, vision, journal("probe_vision"))
        if memory is not None and stage.moves(config):
            probes["memory"] = stage.memory(config, heldout, encoded, memory, journal("probe_memory"))
        if memory is not None and trained_on is not None:
            measures["memory"] = measure.memory(config, encoded, trained_on, memory, journal("measure_memory"))
    facts = {"run": str(run.folder.resolve()), "env": config.env.name}
    write_json(folder / "probes.json", {**facts, **probes, "measures": measures})
    console = make_console()
    if probes:
        print_probes(probes, console)
    else:
        console.print(f"{config.env.name} declares no visible targets, objects or motions to probe for", soft_wrap=True)
    print_measures(measures, console)
    console.print(f"results: {folder / 'probes.json'}", soft_wrap=True)


if __name__ == "__main__":
    command("probe", probe, "probe_schema", ProbeCommand)
