"""What V can be trained for: the values of ``vae.loss``."""

from typing import Any

from worldmodels.config import VisionConfig, plain
from worldmodels.vision.gan import AdversarialModule
from worldmodels.vision.losses import LOSSES
from worldmodels.vision.module import VisionModule

MODULES: dict[str, type[VisionModule]] = {**dict.fromkeys(LOSSES, VisionModule), "gan": AdversarialModule}


def relevant(config: VisionConfig) -> dict[str, Any]:
    """The settings that V's weights depend on: without those of other losses, without the path of ``perceptual_run``,
    whose content counts as a parent, and without ``frames`` where they are real.
    """
    others = tuple(f"{name}_" for name in MODULES if name != config.loss)
    ignored = (*others, "perceptual_run", *(["frames"] if config.frames == "real" else []))
    return {key: value for key, value in plain(config).items() if not key.startswith(ignored)}
