"""The settings of the hardware that V and M train on, and Lightning's flags."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from worldmodels.utils.checks import require
from worldmodels.utils.settings import Part, Setting, Settings

CHANGES_RESULTS = False  # the resolved precision, and the flags that change results, count in the keys of artifacts
ACCELERATORS = ("auto", "cpu", "gpu")
PRECISIONS = ("auto", "32-true", "bf16-mixed")
STRATEGIES = {"auto": "ddp_spawn", "ddp": "ddp_spawn", "ddp_spawn": "ddp_spawn", "ddp_fork": "ddp_fork"}
PROFILERS = ("simple", "advanced", "pytorch")
LOGGER = Part("A logger of Lightning's.", counts="never", fits="lightning.pytorch.loggers.Logger")
CALLBACK = Part("A callback of Lightning's.", fits="lightning.pytorch.Callback")
TIME = re.compile(r"(\d+:)?\d\d?:\d\d:\d\d")
ELSEWHERE = {  # Lightning's flags that this project sets by settings of its own
    "max_epochs": "vae.epochs and memory.steps",
    "min_epochs": "vae.epochs and memory.steps",
    "min_steps": "memory.steps",
    "val_check_interval": "memory.validate_every",
    "check_val_every_n_epoch": "memory.validate_every",
    "num_sanity_val_steps": "debug=limit",
    "logger": "logger=tensorboard, csv, wandb or mlflow",
    "callbacks": "callbacks.NAME={_target_: …}",
    "default_root_dir": "paths.outputs",
    "enable_checkpointing": "trainer.checkpoint_every_minutes",
    "enable_progress_bar": "a terminal, which shows one",
}


@dataclass
class TrainerConfig(Settings):
    """The hardware, and Lightning's flags under their own names. ``precision``, resolved, counts as an input of V and
    M, and of what agents see. Device, ``compile`` and ``threads`` change the order of sums, which training amplifies;
    they are noted in the manifest and do not count.
    """

    node: ClassVar[str] = "trainer"

    accelerator: Annotated[str, Setting("Device.", options=ACCELERATORS, counts="never")] = "auto"
    precision: Annotated[
        str,
        Setting(
            "Precision; auto is bf16 where the hardware multiplies it natively.", options=PRECISIONS, counts="never"
        ),
    ] = "auto"
    channels_last: Annotated[bool, Setting("V's memory layout.", counts="never")] = True
    compile: Annotated[
        bool, Setting("Train V through torch.compile; measure first, with worldmodels.benchmark.", counts="never")
    ] = False
    threads: Annotated[
        int | None, Setting("Torch threads; null takes this job's share of the cores.", at_least=1, counts="never")
    ] = None
    num_workers: Annotated[
        int,
        Setting("Processes that read the training data; 0 reads it in the main one.", at_least=0, counts="never"),
    ] = 0
    checkpoint_every_minutes: Annotated[
        float | None,
        Setting(
            "How much of an epoch is lost at most when the machine dies; null saves between epochs.",
            above=0,
            counts="never",
        ),
    ] = 5.0
    checkpoint_every_steps: Annotated[
        int | None, Setting("Also after every so many batches.", at_least=1, counts="never")
    ] = None
    keep_checkpoint: Annotated[
        bool,
        Setting(
            "Whether V and M keep their last checkpoint, three times their weights, so that more epochs or steps go on "
            "from it.",
            counts="never",
        ),
    ] = False
    devices: Annotated[
        Any,
        Setting(
            "Lightning's: a number of devices, or a list of their numbers. Each takes batches of its own: n devices do "
            "what one does with accumulate_grad_batches=n.",
            counts="unless default",
        ),
    ] = 1
    strategy: Annotated[
        str,
        Setting(
            "Lightning's, for several devices of one machine; auto and ddp are ddp_spawn.",
            options=tuple(STRATEGIES),
            counts="never",
        ),
    ] = "auto"
    max_time: Annotated[
        str | None,
        Setting("Lightning's: V and M each stop after so long.", unit="[DD:]HH:MM:SS", counts="unless default"),
    ] = None
    max_steps: Annotated[
        int,
        Setting(
            "Lightning's: V and M each stop after so many steps; -1 is no limit.", at_least=-1, counts="unless default"
        ),
    ] = -1
    limit_train_batches: Annotated[
        int | float | None,
        Setting("Lightning's: training batches of an epoch, a number or a share.", above=0, counts="unless default"),
    ] = None
    limit_val_batches: Annotated[
        int | float | None,
        Setting("Lightning's: validation batches, a number or a share.", above=0, counts="unless default"),
    ] = None
    overfit_batches: Annotated[
        int | float,
        Setting(
            "Lightning's: train and validate on so many batches, the same in every epoch; 0 on all.",
            at_least=0,
            counts="unless default",
        ),
    ] = 0
    fast_dev_run: Annotated[
        int | bool,
        Setting(
            "Lightning's: one epoch of so many batches, to see whether it runs.", at_least=0, counts="unless default"
        ),
    ] = False
    accumulate_grad_batches: Annotated[
        int, Setting("Lightning's: batches whose gradients make one step.", at_least=1, counts="unless default")
    ] = 1
    gradient_clip_val: Annotated[
        float | None,
        Setting(
            "Lightning's, of V's gradients; M's are clipped by memory.gradient_clip.",
            above=0,
            counts="unless default",
            stages=("vision",),
        ),
    ] = None
    gradient_clip_algorithm: Annotated[
        str,
        Setting(
            "Lightning's: clip V's gradients by their norm or each value.",
            options=("norm", "value"),
            counts="unless default",
            stages=("vision",),
            when=lambda trainer: trainer.gradient_clip_val is not None,
        ),
    ] = "norm"
    log_every_n_steps: Annotated[
        int, Setting("Lightning's: batches between two rows of loss and rate.", at_least=1, counts="never")
    ] = 10
    detect_anomaly: Annotated[
        bool, Setting("Lightning's: find the operation whose gradient is not finite; slow.", counts="never")
    ] = False
    deterministic: Annotated[
        bool | str, Setting("Lightning's: only deterministic kernels; also warn.", counts="never")
    ] = False
    benchmark: Annotated[bool | None, Setting("Lightning's: let cuDNN choose the fastest kernels.", counts="never")] = (
        None
    )
    profiler: Annotated[
        str | None,
        Setting("Lightning's; its report goes to the run's folder.", options=PROFILERS, counts="never"),
    ] = None
    enable_model_summary: Annotated[bool, Setting("Lightning's: print the layers before training.", counts="never")] = (
        False
    )

    def check(self) -> None:
        require(
            self.max_time is None or bool(TIME.fullmatch(self.max_time) and self.max_time.strip("0:")),
            f"trainer.max_time={self.max_time} is no time: expected HH:MM:SS or DD:HH:MM:SS, for example "
            "trainer.max_time=00:10:00",
        )
        require(
            self.max_steps != 0, "trainer.max_steps=0 trains nothing: expected 1 or more, or -1 for no limit of its own"
        )
        for name in ("limit_train_batches", "limit_val_batches", "overfit_batches"):
            value = getattr(self, name)
            require(
                not isinstance(value, float) or value <= 1,
                f"trainer.{name}={value} is no share: expected a whole number of batches, or a share up to 1.0",
            )
        number = self.devices if isinstance(self.devices, int) else 1
        require(
            isinstance(self.devices, int | list | str)
            and not isinstance(self.devices, bool)
            and (number >= 1 or number == -1),
            f"trainer.devices={self.devices} is out of range: expected a number, a list, auto, or -1 for all",
        )
        require(
            self.deterministic in (True, False, "warn"),
            f"trainer.deterministic={self.deterministic} is unknown: expected true, false or warn",
        )

    @property
    def one_device(self) -> bool:
        """Whether V and M train on one device."""
        return str(self.devices) in ("1", "auto") or (isinstance(self.devices, list) and len(self.devices) == 1)


def callbacks_of(chosen: Mapping[str, Any], stage: str) -> dict[str, dict[str, Any]]:
    """The callbacks of a stage's training (vision, memory), without what says whose they are."""
    return {
        name: {key: setting for key, setting in value.items() if key != "stages"}
        for name, value in chosen.items()
        if stage in value.get("stages", (stage,))
    }


def callback_targets(chosen: Mapping[str, Any], stage: str) -> list[str]:
    """The classes of a stage's callbacks, whose code counts."""
    return [value["_target_"] for value in callbacks_of(chosen, stage).values()]
