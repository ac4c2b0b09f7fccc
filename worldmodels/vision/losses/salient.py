"""What is unusual weighs more."""

from typing import Annotated

import torch
from torch import Tensor, nn

from worldmodels.utils.seeds import sequence
from worldmodels.utils.settings import Setting
from worldmodels.vision.losses.base import Loss, TrainingContext
from worldmodels.vision.salience import GLIMPSE, Salience, fixate
from worldmodels.vision.salience import glimpse as look_closely

OUTLINE = 0.25  # power of the salience that cuts a thing out of its surroundings: unusual is unusual, more or less


class Salient(Loss):
    """Squared error in which an unusual pixel weighs up to ``weight`` times as much as a usual one: see
    `Salience`.

    Beside it, where something unusual is in a frame, two linear readouts of z: ``glimpse`` times the squared
    error of a glimpse of it, centred, and ``place`` times that of its place, in -1 to 1 from edge to edge. They
    ask for what a linear controller needs, in a form that it can read: a feature prediction in the sense of Pihlgren,
    Sandin & Liwicki 2021 (arXiv:2103.12445), of features that are counted rather than trained. The readouts are thrown
    away after training.
    """

    def __init__(
        self,
        kl_floor: float,
        context: TrainingContext,
        latent_size: int,
        weight: Annotated[float, Setting("Weight of a pixel as unusual as can be.", at_least=1)] = 100.0,
        glimpse: Annotated[float, Setting("Weight of a linear readout of what is unusual.", at_least=0)] = 0.0,
        place: Annotated[float, Setting("Weight of a linear readout of where it is.", at_least=0)] = 0.0,
    ) -> None:
        super().__init__(kl_floor, context)
        self.weight, self.glimpse, self.place = weight, glimpse, place
        self.salience = Salience()
        self.salience.prepare(context.rollouts)
        if self.glimpse or self.place:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(int(sequence(context.seed, "vision", 6).generate_state(1)[0]))
                self.what = nn.Linear(latent_size, 3 * GLIMPSE**2)
                self.where = nn.Linear(latent_size, 2)

    def distance(self, reconstruction: Tensor, frames: Tensor, error: Tensor, z: Tensor) -> Tensor:
        frames, salience = frames.float(), self.salience(frames)
        weight = 1 + (self.weight - 1) * salience
        cost = (weight * (reconstruction.float() - frames).square()).flatten(1).sum(1)
        return cost + self._read(frames, salience, z) if self.glimpse or self.place else cost

    def _read(self, frames: Tensor, salience: Tensor, z: Tensor) -> Tensor:
        fixation = fixate(salience)
        look = look_closely(frames * salience**OUTLINE, fixation, GLIMPSE).flatten(1)
        with torch.autocast(z.device.type, enabled=False):
            z = z.float()
            what_error = (self.what(z) - look).square().sum(1)
            where_error = (self.where(z) - fixation.position).square().sum(1)
        return fixation.present * (self.glimpse * what_error + self.place * where_error)
