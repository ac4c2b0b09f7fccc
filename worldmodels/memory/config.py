"""The settings of M and its training."""

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

from worldmodels.utils import parts
from worldmodels.utils.checks import require
from worldmodels.utils.settings import Part, Setting, Settings

CHANGES_RESULTS = False  # values count in the keys of artifacts
NETWORK = Part("M's network.", fits="worldmodels.memory.interface.Memory")


@dataclass
class MemoryConfig(Settings):
    """M. A step is one batch of sequences. The loss is the NLL per latent dimension, plus ``head_weight`` times that of
    the reward and of the end where the network has such heads.
    """

    node: ClassVar[str] = "memory"

    network: Annotated[Any, NETWORK] = field(default_factory=lambda: {"_target_": "worldmodels.memory.network.MDNLSTM"})
    steps: Annotated[int, Setting("Training steps.", at_least=1)] = 4000
    batch_size: Annotated[int, Setting("Sequences in a batch.", at_least=1)] = 100
    sequence_length: Annotated[int, Setting("Frames of a sequence at most.", at_least=2)] = 1000
    learning_rate: Annotated[float, Setting("Adam's rate at the start.", above=0)] = 1e-3
    min_learning_rate: Annotated[float, Setting("Least rate.", at_least=0)] = 1e-5
    decay: Annotated[float, Setting("Factor of the rate at each step.", above=0, at_most=1)] = 0.9999
    gradient_clip: Annotated[float, Setting("Limit of each element of a gradient.", above=0)] = 1.0
    validate_every: Annotated[int, Setting("Steps of an epoch, after which M is validated.", at_least=1)] = 100
    validation_fraction: Annotated[float, Setting("Share of the rollouts kept for validation.", above=0, below=1)] = 0.1
    cached_rollouts: Annotated[
        int, Setting("Rollouts kept in memory; 270 KB each at 1,000 frames.", at_least=1, counts="never")
    ] = 2000
    dream_steps: Annotated[int, Setting("Steps of the pictured dream.", at_least=1, counts="never")] = 100
    temperature: Annotated[float, Setting("τ of the pictured dream.", at_least=0.001, counts="never")] = 1.0
    head_weight: Annotated[
        float, Setting("Weight of reward and end beside the latent's NLL per dimension.", above=0)
    ] = 1.0
    mean_inputs: Annotated[
        float,
        Setting(
            "Share of the sequences in which M is given μ, as an agent gives it; in the others it is given "
            "z ~ N(μ, σ²), as a dream does.",
            at_least=0,
            at_most=1,
        ),
    ] = 0.0

    def check(self) -> None:
        require(
            self.min_learning_rate <= self.learning_rate,
            f"memory.learning_rate={self.learning_rate} with memory.min_learning_rate={self.min_learning_rate} "
            "cannot decay: expected 0 ≤ minimum ≤ rate and rate > 0",
        )
        require(
            self.steps % self.validate_every == 0,
            f"memory.steps={self.steps} is not a multiple of memory.validate_every={self.validate_every}: "
            f"set memory.validate_every to a divisor of {self.steps}",
        )

    @property
    def hidden_size(self) -> int:
        """Numbers in h, and as many in c."""
        return parts.size(NETWORK, self.network, "memory.network", "hidden_size")
