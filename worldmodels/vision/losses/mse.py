"""The study's loss."""

from torch import Tensor

from worldmodels.vision.losses.base import Loss


class MSE(Loss):
    """Squared error plus KL: Ha & Schmidhuber 2018, App. A.1."""

    def distance(self, reconstruction: Tensor, frames: Tensor, error: Tensor, z: Tensor) -> Tensor:
        return error
