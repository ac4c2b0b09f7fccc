"""The settings of probes and measures on held-out rollouts."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from worldmodels.utils.checks import require
from worldmodels.utils.settings import Setting, Settings

CHANGES_RESULTS = False  # values count in the keys of artifacts


@dataclass
class ProbeConfig(Settings):
    """How much of the true state V and M carry, by probes on the held-out rollouts."""

    node: ClassVar[str] = "probe"

    enabled: Annotated[bool, Setting("Whether V and M are probed.", counts="never")] = True
    scored: Annotated[
        float,
        Setting("Share of the held-out rollouts that scores; the probes are fitted on the rest.", above=0, below=1),
    ] = 0.3
    epochs: Annotated[int, Setting("Epochs of the small MLP at most.", at_least=1)] = 100


@dataclass
class MeasureConfig(Settings):
    """How good V and M are on the held-out rollouts, M beside persistence and an untrained reservoir."""

    node: ClassVar[str] = "measure"

    enabled: Annotated[bool, Setting("Whether V and M are measured on held-out rollouts.", counts="never")] = True
    training_frames: Annotated[
        int, Setting("Frames of M's training rollouts that the baselines are fitted to, at most.", at_least=2)
    ] = 20_000
    samples: Annotated[
        int,
        Setting("Futures whose expectation is a forecast, two or more; 0 feeds M's mean back, sooner.", at_least=0),
    ] = 0

    def check(self) -> None:
        require(self.samples != 1, f"measure.samples={self.samples} gives no variance: expected 0, or 2 or more")
