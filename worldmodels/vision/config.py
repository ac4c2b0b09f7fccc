"""The settings of V and its training."""

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

from worldmodels.utils import parts
from worldmodels.utils.checks import require
from worldmodels.utils.settings import Part, Setting, Settings

CHANGES_RESULTS = False  # values count in the keys of artifacts
FRAMES = ("real", "noise", "shuffled")
LOSSES = {
    "mse": "worldmodels.vision.losses.mse.MSE",
    "sigma": "worldmodels.vision.losses.sigma.Sigma",
    "salient": "worldmodels.vision.losses.salient.Salient",
    "perceptual": "worldmodels.vision.losses.perceptual.Perceptual",
    "gan": "worldmodels.vision.losses.gan.Adversarial",
}
NETWORK = Part("V's network.", fits="worldmodels.vision.interface.Vision")
LOSS = Part("What V's training minimises.", names=LOSSES, fits="worldmodels.vision.losses.base.Loss")


@dataclass
class VisionConfig(Settings):
    """V. ``frames`` other than ``real`` are a control: V is trained on noise, or on frames without their structure."""

    node: ClassVar[str] = "vae"

    network: Annotated[Any, NETWORK] = field(default_factory=lambda: {"_target_": "worldmodels.vision.network.ConvVAE"})
    loss: Annotated[Any, LOSS] = field(default_factory=lambda: {"_target_": "mse"})
    frames: Annotated[
        str,
        Setting(
            "What V is trained on; as a control noise, or shuffled pixels.", options=FRAMES, counts="unless default"
        ),
    ] = "real"
    kl_floor: Annotated[float, Setting("KL that costs nothing.", unit="nats per latent dimension", at_least=0)] = 0.5
    inverse: Annotated[
        float,
        Setting(
            "Weight of the squared error of a linear read-out of the action from z before and after it, so that z "
            "shows what actions change (inverse dynamics); 0: none. V then sees pairs of frames, an epoch half of all.",
            at_least=0,
            counts="unless default",
        ),
    ] = 0.0
    epochs: Annotated[int, Setting("Passes over the training frames.", at_least=1)] = 10
    batch_size: Annotated[int, Setting("Frames in a batch.", at_least=1)] = 100
    learning_rate: Annotated[float, Setting("Adam's rate.", above=0)] = 1e-3
    min_learning_rate: Annotated[
        float | None, Setting("Where a cosine of the rate ends; null keeps the rate constant.", at_least=0)
    ] = None
    validation_fraction: Annotated[float, Setting("Share of the rollouts kept for validation.", above=0, below=1)] = 0.1
    shuffle_frames: Annotated[int, Setting("Frames shuffled together; 12 KB each in memory.", at_least=1)] = 30_000

    def check(self) -> None:
        require(
            self.min_learning_rate is None or self.min_learning_rate <= self.learning_rate,
            f"vae.min_learning_rate={self.min_learning_rate} is out of range: expected 0 to vae.learning_rate="
            f"{self.learning_rate}, or null for a constant rate",
        )
        require(
            not self.inverse or self.batch_size % 2 == 0,
            f"vae.batch_size={self.batch_size}: with vae.inverse={self.inverse:g} a batch is of pairs of frames: "
            "expected an even number",
        )

    @property
    def latent_size(self) -> int:
        """Dimensions of z."""
        return parts.size(NETWORK, self.network, "vae.network", "latent_size")
