"""``python -m worldmodels.benchmark``: measure this machine, stage by stage."""

from dataclasses import dataclass

from omegaconf import DictConfig

from worldmodels.cli import command, prepare_process
from worldmodels.config import to_config
from worldmodels.utils.checks import require_at_least, require_one_of

DEVICES = ("auto", "cpu", "gpu")


@dataclass
class BenchmarkCommand:
    """Schema of ``conf/benchmark.yaml``."""

    device: str = "auto"
    compile: bool = False
    workers: int | None = None
    task: str | None = None  # not env: Hydra would take that for the group

    def __post_init__(self) -> None:
        require_one_of("device", self.device, DEVICES)
        require_at_least("workers", self.workers, 1)


def benchmark(composed: DictConfig) -> None:
    """Print the tables and write ``benchmark.json``."""
    request = to_config(composed)

    # What takes long to import waits until the request has been checked; worker processes, which import this module
    # too, need none of it.
    import logging
    import tempfile
    import time
    from pathlib import Path

    import hydra
    from hydra.core.hydra_config import HydraConfig

    from worldmodels.benchmarks import summary
    from worldmodels.config import Config, register_schema
    from worldmodels.training.hardware import require_hardware
    from worldmodels.utils.console import make_console
    from worldmodels.utils.files import write_json

    log = logging.getLogger(__name__)
    started = time.perf_counter()
    register_schema()

    def config(*overrides: str) -> Config:
        return to_config(
            hydra.compose("config", [f"trainer={request.device}", f"trainer.compile={request.compile}", *overrides])
        )

    require_hardware(config().trainer)
    cores = prepare_process()
    workers = request.workers or cores
    with tempfile.TemporaryDirectory() as folder:
        measured = summary.measure(config, workers, Path(folder), log.info, [request.task] if request.task else [])
    measured["seconds"] = round(time.perf_counter() - started, 1)
    target = Path(HydraConfig.get().runtime.output_dir) / "benchmark.json"
    write_json(target, measured)
    console = make_console()
    for table in summary.tables(measured):
        console.print(table)
    console.print(f"{measured['seconds']:.0f} s; results: {target}", soft_wrap=True)


if __name__ == "__main__":
    command("benchmark", benchmark, "benchmark_schema", BenchmarkCommand)
