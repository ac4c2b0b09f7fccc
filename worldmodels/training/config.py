"""The settings of the hardware that V and M train on."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from worldmodels.utils.settings import Setting, Settings

CHANGES_RESULTS = False  # the resolved precision counts in the keys of artifacts
ACCELERATORS = ("auto", "cpu", "gpu")
PRECISIONS = ("auto", "32-true", "bf16-mixed")


@dataclass
class TrainerConfig(Settings):
    """The hardware. ``precision``, resolved, counts as an input of V and M, and of what agents see. Device, ``compile``
    and ``threads`` change the order of sums, which training amplifies; they are noted in the manifest and do not count.
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
