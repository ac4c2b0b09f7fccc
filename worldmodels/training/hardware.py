"""The device and the precision that V and M are trained, and agents are played, with."""

import torch

from worldmodels.training.config import TrainerConfig
from worldmodels.utils.checks import require

CHANGES_RESULTS = False  # the resolved precision counts in the keys of artifacts


def resolve_precision(config: TrainerConfig) -> str:
    """``auto`` is bf16 where the hardware multiplies bf16 natively, else float32."""
    if config.precision != "auto":
        return config.precision
    if config.accelerator != "cpu" and torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "32-true"
    return rollout_precision(config)


def rollout_precision(config: TrainerConfig) -> str:
    """The precision of V's passes on the CPU, where rollouts are played: ``auto`` goes by the CPU."""
    if config.precision != "auto":
        return config.precision
    native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return "bf16-mixed" if native else "32-true"


def require_hardware(config: TrainerConfig) -> None:
    """Raise `ConfigError` where a GPU is asked for that is not to be had."""
    require(
        config.accelerator != "gpu" or torch.cuda.is_available() or torch.backends.mps.is_available(),
        f"trainer.accelerator=gpu finds none (torch {torch.__version__}): expected one; use trainer=auto or cpu",
    )


def device(config: TrainerConfig) -> torch.device:
    """Where single passes over the data run: the accelerator that Lightning would train on."""
    if config.accelerator == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda")
