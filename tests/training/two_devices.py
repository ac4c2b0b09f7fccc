"""V and M trained on two devices, in a process of its own that forks: what test_distributed.py looks at.

Prints nothing; writes ``results.pt``, what each training left, by name.
"""

import dataclasses
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning
import torch
from small_training import (
    BATCHES,
    CPU,
    copy_of,
    make_memory,
    make_vision,
    memory_training,
    vision_training,
    without_time,
)

from worldmodels.transfer.unfreezing import GradualUnfreezing
from worldmodels.utils.errors import Failure

FORKED = dataclasses.replace(CPU, devices=2, strategy="ddp_fork")


class Stop(lightning.Callback):
    """Asks the process that started the training to stop, in the middle of its second epoch; or ends one outright."""

    def __init__(self, number: int) -> None:
        self.number = number

    def on_train_batch_start(self, trainer: lightning.Trainer, *_: Any) -> None:
        if trainer.global_step == BATCHES // 2 and trainer.global_rank == 1:
            os.kill(os.getpid() if self.number == signal.SIGKILL else os.getppid(), self.number)


def trained(train: Callable[..., Any], network: Any, *callbacks: lightning.Callback, **how: Any) -> dict[str, Any]:
    """The weights and the rows, or how it ended."""
    error = None
    try:
        train(network, *callbacks, **how)
    except (KeyboardInterrupt, Failure) as ended:
        error = f"{type(ended).__name__}: {ended}"
    journal = train.journal(how["name"])  # type: ignore[attr-defined]
    table = "steps" if journal.rows("steps") else "epochs"
    rows, batches = without_time(journal.rows(table)), journal.rows("batches")
    return {"weights": copy_of(network), "rows": rows, "batches": batches, "error": error}


def main() -> None:
    memory, vision = memory_training(Path("m")), vision_training(Path("v"))
    adding = dataclasses.replace(CPU, accumulate_grad_batches=2)
    frozen, layers = ("memory.lstm",), ("vision.encoder.layers.0",)
    saved: dict[str, Any] = {"m start": copy_of(make_memory()), "v start": copy_of(make_vision())}
    for name, trainer in (("one", adding), ("two", FORKED)):
        saved[f"m {name}"] = trained(memory, make_memory(frozen), name=name, trainer=trainer)
        saved[f"v {name}"] = trained(vision, make_vision(layers), name=name, trainer=trainer, batch_size=2)
        network = make_memory()
        saved[f"unfreezing {name}"] = trained(
            memory, network, GradualUnfreezing([network.lstm]), name=f"unfreezing {name}", trainer=trainer
        )
    for name, number in (("stopped", signal.SIGTERM), ("ended", signal.SIGKILL)):
        saved[name] = trained(memory, make_memory(frozen), Stop(number), name=name, trainer=FORKED)
        saved[f"{name}, on"] = trained(memory, make_memory(frozen), name=name, trainer=FORKED)
    wild = {"learning_rate": 1e30, "min_learning_rate": 1e30, "gradient_clip": 1e9}
    saved["diverged"] = trained(memory, make_memory(), name="diverged", trainer=FORKED, **wild)
    torch.save(saved, "results.pt")


def spawned() -> None:
    """As `trainer.strategy=ddp` starts them."""
    trainer = dataclasses.replace(CPU, devices=2, strategy="ddp")
    torch.save(
        trained(memory_training(Path("m")), make_memory(("memory.lstm",)), name="two", trainer=trainer), "results.pt"
    )


if __name__ == "__main__":
    main() if sys.argv[1:] != ["spawned"] else spawned()
