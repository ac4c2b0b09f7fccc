"""What a run's models are called in the names of folders."""

import re
from typing import Any

from worldmodels.controller.config import SEARCH, ControllerConfig
from worldmodels.memory.config import NETWORK as MEMORY_NETWORK
from worldmodels.memory.config import MemoryConfig
from worldmodels.utils import parts
from worldmodels.vision.config import LOSS, VisionConfig
from worldmodels.vision.config import NETWORK as VISION_NETWORK

CHANGES_RESULTS = False  # names of folders


def models_label(vae: Any, memory: Any, controller: Any) -> str:
    """What is chosen for V, its loss, M and the search where that is not the paper's, in the names of folders: nothing,
    or ``-FovealVAE-salient``. Of these nodes of a config, which need not be checked.
    """
    chosen = (
        (vae, VisionConfig, "network", VISION_NETWORK),
        (vae, VisionConfig, "loss", LOSS),
        (memory, MemoryConfig, "network", MEMORY_NETWORK),
        (controller, ControllerConfig, "search", SEARCH),
    )
    names = []
    for node, kind, key, part in chosen:
        try:
            name = parts.name(part, node[key])
            usual = parts.name(part, getattr(kind(), key))
        except Exception:  # is refused in its place
            continue
        if name != usual:
            names.append(f"-{re.sub(r'[^A-Za-z0-9_]+', '_', name)}")
    return "".join(names)
