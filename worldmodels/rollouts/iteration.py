"""The settings of the rounds of the iterative procedure."""

from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from worldmodels.utils.settings import Setting, Settings

CHANGES_RESULTS = False  # a round's own settings count, which follow from these


@dataclass
class IterationConfig(Settings):
    """Rounds after the first, where ``iterations`` is more than 1: each collects with the agent of the round before,
    and goes on from its V, M and C.
    """

    node: ClassVar[str] = "iteration"

    noise: Annotated[
        float,
        Setting(
            "Noise on the agent's actions, its deviation as a share of half their range.", at_least=0, counts="never"
        ),
    ] = 0.2
    persistence: Annotated[
        float, Setting("Correlation of the noise with that of the step before.", at_least=0, below=1, counts="never")
    ] = 0.8
    frames: Annotated[
        int | None, Setting("New frames of a round; null takes collect.frames.", at_least=1, counts="never")
    ] = None
    freeze: Annotated[
        list[str], Setting("Modules that stay as the first round left them, such as [vision].", counts="never")
    ] = field(default_factory=list)
    step: Annotated[
        float,
        Setting(
            "First step of the search, as a share of the usual one: it starts at the agent. One that goes on from a "
            "covariance (controller.readout=salience with cma_es) goes on with that one's step; with "
            "controller.warm_start=covariance that one is widened by a tenth of this step.",
            above=0,
            counts="never",
        ),
    ] = 0.3
