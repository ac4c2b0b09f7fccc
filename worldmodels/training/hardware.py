"""The device and the precision that V and M are trained, and agents are played, with."""

import functools

import torch
from torch import nn

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


@functools.cache
def trains_lstm_in_bf16() -> bool:
    """Whether this processor can: other layers are emulated where bf16 is not native, LSTMs are not."""
    lstm, x = nn.LSTM(16, 16), torch.zeros(1, 1, 16)
    try:
        with torch.autocast("cpu", torch.bfloat16):
            lstm(x)[0].sum().backward()
    except RuntimeError:
        return False
    return True


def require_hardware(config: TrainerConfig, recurrent: bool = True) -> None:
    """Raise `ConfigError` where a GPU is asked for, or for M (``recurrent``) a precision, that is not to be had."""
    require(
        config.accelerator != "gpu" or torch.cuda.is_available() or torch.backends.mps.is_available(),
        f"trainer.accelerator=gpu finds none (torch {torch.__version__}): expected one; use trainer=auto or cpu",
    )
    on_cpu = device(config).type == "cpu"
    require(
        not (recurrent and on_cpu and resolve_precision(config) == "bf16-mixed") or trains_lstm_in_bf16(),
        f"trainer.precision={config.precision} is not to be had: this processor trains no LSTM in bf16; expected "
        "trainer.precision=32-true",
    )


def device(config: TrainerConfig) -> torch.device:
    """Where single passes over the data run: the accelerator that Lightning would train on."""
    if config.accelerator == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda")
