"""A loss of one's own: Huber's, which lets a few large errors count less than their squares."""

from typing import Annotated

from torch import Tensor
from torch.nn import functional

from worldmodels.utils.settings import Setting
from worldmodels.vision.losses.base import Loss, TrainingContext


class Huber(Loss):
    """Squared error where it is small, linear where it is large (Huber 1964), plus KL."""

    def __init__(
        self,
        kl_floor: float,
        context: TrainingContext,
        delta: Annotated[float, Setting("Error of a pixel's value where the square ends.", above=0)] = 0.2,
    ) -> None:
        super().__init__(kl_floor, context)
        self.delta = delta

    def distance(self, reconstruction: Tensor, frames: Tensor, error: Tensor, z: Tensor) -> Tensor:
        """(B, 3, 64, 64) twice -> (B,). Twice Huber's, so that it is the squared error where that is small."""
        values = functional.huber_loss(reconstruction.float(), frames.float(), reduction="none", delta=self.delta)
        return 2 * values.flatten(1).sum(1)
