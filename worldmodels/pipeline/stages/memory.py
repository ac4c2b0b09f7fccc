"""Memory: train M on encoded rollouts, from scratch or from a source's weights."""

import logging
from pathlib import Path
from typing import Any

import torch

from worldmodels.config import Config
from worldmodels.dreams.unroll import dream_under
from worldmodels.factory import make_memory, make_vision
from worldmodels.memory.config import NETWORK
from worldmodels.memory.data import SequenceDataModule
from worldmodels.memory.interface import Memory, heads_of
from worldmodels.memory.module import MemoryModule, persistence_nll
from worldmodels.pipeline.stage import Stage, Work, label_of, training_inputs, training_length
from worldmodels.rollouts.storage import RolloutStore
from worldmodels.store.artifacts import WEIGHTS
from worldmodels.store.journal import Journal
from worldmodels.training.callbacks import Recorder, StopWhenDiverged
from worldmodels.training.checkpoints import HYPER_PARAMETERS
from worldmodels.training.config import callback_targets
from worldmodels.training.fit import fit, make_callbacks
from worldmodels.training.hardware import resolve_precision
from worldmodels.transfer.budgets import epochs_of
from worldmodels.transfer.unfreezing import GradualUnfreezing
from worldmodels.transfer.weights import prepare, save_weights, unfrozen_later
from worldmodels.utils import media, parts
from worldmodels.utils.seeds import torch_generator
from worldmodels.utils.settings import counted, plain_value
from worldmodels.vision.scaling import to_pixels

log = logging.getLogger(__name__)
CONTEXT = 10  # frames of reality before a dream begins


def run(
    config: Config, encoded: Path, vision: Path, action_size: int, source: Path | None, folder: Path, journal: Journal
) -> dict[str, Any]:
    """Write ``weights.safetensors``. ``vision``: V's weights, to decode the dream; ``source``: weights to start
    from.
    """
    network = make_memory(config, action_size, source=source)
    transfer, epochs = config.transfer, epochs_of(config, "memory")
    columns = network.latent_size if transfer.input_layer == "keep_latent" else 0
    parameters = prepare(network, "memory", source, transfer, epochs, columns)
    trainer = config.trainer
    reading = trainer.num_workers, trainer.overfit_batches
    data = SequenceDataModule(RolloutStore(encoded), config.memory, config.seed, *reading)
    persistence = persistence_nll(data)
    _standardise(network, data)
    module = MemoryModule(network, config.memory, persistence)
    if parameters["trainable"]:
        fit(
            module,
            data,
            folder,
            Recorder(journal, "steps", "step", every=trainer.log_every_n_steps),
            [
                GradualUnfreezing(unfrozen_later(network, "memory", transfer, epochs)),
                *make_callbacks(config.callbacks, "memory"),
            ],
            trainer,
            epochs,
            gradient_clip=config.memory.gradient_clip,
            diverged=StopWhenDiverged(
                "M",
                f"memory.learning_rate={config.memory.learning_rate:g} is likely too high: lower it, or "
                f"memory.gradient_clip={config.memory.gradient_clip:g}",
                trainer.log_every_n_steps,
                baselines=("persistence_nll",),
                classes=f"memory.network={parts.target(NETWORK, config.memory.network, 'memory.network')}",
            ),
        )
    else:
        log.info("  every parameter of M is frozen: its training is skipped")
    save_weights(network, folder / WEIGHTS)
    with journal.drawing("a dream"):
        _picture_dream(config, network.cpu().eval(), data, vision, journal)
    return {
        "parameters": parameters,
        "persistence_nll": persistence,
        "steps": journal.rows("steps"),
        HYPER_PARAMETERS: plain_value(module.hparams),
    }


def _standardise(network: Memory, data: SequenceDataModule) -> None:
    """Give a reward head that trains the scale of the training rewards; a frozen one keeps its source's."""
    head = heads_of(network).reward
    if hasattr(head, "standardise") and any(parameter.requires_grad for parameter in head.parameters()):
        rewards = data.training_rewards()
        head.standardise(float(rewards.mean()), float(rewards.std()))


@torch.no_grad()
def _picture_dream(config: Config, network: Memory, data: SequenceDataModule, vision: Path, journal: Journal) -> None:
    """A GIF of what V sees (left) beside what M dreams under the same actions (right), after `CONTEXT` frames of
    reality.
    """
    rollout = max(data.validation, key=lambda i: data.data.store.lengths[i])
    steps = min(CONTEXT + config.memory.dream_steps, int(data.data.store.lengths[rollout]))
    mu, actions = (
        torch.from_numpy(data.data.store.read(rollout, name, slice(steps)))[None] for name in ("mu", "actions")
    )
    generator = torch_generator(config.seed, "figures")
    dreamt = dream_under(network, mu, actions, min(CONTEXT, steps), config.memory.temperature, generator)
    decode = make_vision(config, vision).eval().decode
    reconstructed, imagined = (to_pixels(decode(z[0])).numpy() for z in (mu, dreamt))
    frames = [media.beside(pair, height=192) for pair in zip(reconstructed, imagined, strict=True)]
    journal.animation("reality_beside_dream", config.memory.steps, frames, fps=20)


def _build(work: Work) -> dict[str, Any]:
    vision = work.parents["encoded"].parent("vision").weights
    actions, source = work.spec.action_size, work.weights("source")
    return run(work.config, work.path("encoded"), vision, actions, source, work.folder, work.journal)


STAGE = Stage(
    name="memory",
    parents=lambda config: {"encoded": "encode"},
    inputs=lambda config: {
        "memory": counted(config.memory),
        **training_inputs(config, "memory", resolve_precision(config.trainer)),
    },
    build=_build,
    label=label_of("memory"),
    parts=lambda config: [
        *parts.targets(NETWORK, config.memory.network, "memory.network"),
        *callback_targets(config.callbacks, "memory"),
    ],
    libraries=lambda config: ("torch", "lightning", "numpy"),
    loads="memory",
    length=lambda config: training_length(config, "memory", "memory", "steps"),
)
