"""`fit`: freezing, the journal, resuming bit for bit, and being interrupted."""

import itertools
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import pytest
import torch
from small_training import (
    BATCHES,
    CPU,
    EPOCHS,
    Interruption,
    Raise,
    Watch,
    changed,
    copy_of,
    make_memory,
    make_vision,
    memory_config,
    train_memory,
    train_vision,
    vision_config,
    without_time,
)
from torch import Tensor, nn

from worldmodels.memory.data import SequenceDataModule
from worldmodels.memory.module import MemoryModule
from worldmodels.memory.network import MDNLSTM
from worldmodels.rollouts.storage import RolloutStore
from worldmodels.store.artifacts import CHECKPOINT
from worldmodels.store.journal import Journal
from worldmodels.training.config import TrainerConfig
from worldmodels.training.fit import adam
from worldmodels.training.hardware import device, resolve_precision
from worldmodels.transfer.unfreezing import GradualUnfreezing
from worldmodels.utils.seeds import torch_generator
from worldmodels.vision.config import LOSSES
from worldmodels.vision.data import FrameDataModule
from worldmodels.vision.foveal import FovealVAE
from worldmodels.vision.module import VisionModule

__all__ = ["train_memory", "train_vision"]  # fixtures

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.mark.parametrize("part", ["lstm", "mdn"])
def test_a_frozen_part_of_m_is_bit_identical_and_the_rest_trains(
    train_memory: Callable[..., Journal], part: str
) -> None:
    network, watch = make_memory((f"memory.{part}",)), Watch()
    before = copy_of(network)
    train_memory(network, watch)
    assert changed(network, before) == {name for name in before if not name.startswith(part)}
    trained = {id(parameter) for name, parameter in network.named_parameters() if not name.startswith(part)}
    assert watch.optimised == trained


def test_a_frozen_part_of_v_is_bit_identical_and_the_rest_trains(train_vision: Callable[..., Journal]) -> None:
    network = make_vision(("vision.encoder.layers.0", "vision.encoder.layers.1"))
    before = copy_of(network)
    train_vision(network)
    frozen = {name for name in before if name.startswith(("encoder.layers.0.", "encoder.layers.1."))}
    assert len(frozen) == 4
    assert changed(network, before) == set(before) - frozen


@pytest.mark.parametrize(
    ("frozen", "evaluating"),
    [((), set()), (("memory.lstm",), {"lstm"}), (("memory.mdn",), {"mdn"})],
)
def test_frozen_modules_train_in_eval_mode(
    train_memory: Callable[..., Journal], frozen: tuple[str, ...], evaluating: set[str]
) -> None:
    """In every batch, so also after validation, which puts everything in eval mode and back."""
    watch = Watch()
    train_memory(make_memory(frozen), watch)
    assert len(watch.modes) == BATCHES * EPOCHS
    for modes in watch.modes:
        assert {name for name, training in modes.items() if not training} == evaluating


def test_a_frozen_weight_that_changes_is_found_out(train_memory: Callable[..., Journal]) -> None:
    class Meddle(lightning.Callback):
        def on_train_end(self, trainer: lightning.Trainer, module: Any) -> None:
            module.network.mdn.bias.data[0] += 1e-6

    with pytest.raises(RuntimeError, match=r"mdn\.bias"):
        train_memory(make_memory(("memory.mdn",)), Meddle())


def test_adam_holds_what_trains() -> None:
    network = make_memory(("memory.mdn",))
    held = [parameter for group in adam(network, 0.1).param_groups for parameter in group["params"]]
    assert {id(p) for p in held} == {id(p) for p in network.lstm.parameters()}


def test_learning_rate_decays_with_every_step(train_memory: Callable[..., Journal]) -> None:
    watch = Watch()
    train_memory(make_memory(), watch)
    expected = [(1e-2 - 1e-5) * 0.9**step + 1e-5 for step in range(BATCHES * EPOCHS)]
    assert watch.rates == pytest.approx(expected, rel=1e-9)


def test_rows_count_from_one_and_hold_the_means_of_their_own_epoch(train_memory: Callable[..., Journal]) -> None:
    watch, network = Watch(), make_memory()
    trainer = TrainerConfig(accelerator="cpu", precision="32-true", threads=1, log_every_n_steps=2)
    journal = train_memory(network, watch, trainer=trainer)
    rows = journal.rows("steps")
    assert [row["step"] for row in rows] == [BATCHES * epoch for epoch in (1, 2, 3)]
    assert {"nll", "val_nll", "mixture_entropy", "val_mixture_entropy", "persistence_nll", "seconds"} <= set(rows[0])
    assert all(row["persistence_nll"] == 1.5 for row in rows)
    assert len({row["val_nll"] for row in rows}) == 3
    batches = journal.rows("batches")
    assert [row["batch"] for row in batches] == list(range(2, BATCHES * EPOCHS + 1, 2))
    assert [row["loss"] for row in batches] == watch.losses[1::2]


def test_an_epochs_row_is_the_mean_over_its_frames(train_vision: Callable[..., Journal]) -> None:
    """Epochs of equal batches (8 training frames, 4 a batch): the plain mean of the batches' losses."""
    watch = Watch()
    journal = train_vision(make_vision(), watch)
    rows = journal.rows("epochs")
    assert [row["epoch"] for row in rows] == [1, 2]
    means = np.array(watch.losses).reshape(2, -1).mean(axis=1)
    assert [row["total"] for row in rows] == pytest.approx(means, rel=1e-5)
    assert all({"reconstruction", "kl", "val_total", "val_reconstruction", "val_kl"} <= set(row) for row in rows)


def test_validation_figures_are_of_the_weights_after_the_epoch(train_memory: Callable[..., Journal]) -> None:
    network = make_memory()
    journal = train_memory(network, epochs=1)
    assert journal.folder.parent.parent.joinpath("encoded").is_dir()
    config = memory_config()
    data = SequenceDataModule(RolloutStore(journal.folder.parent.parent / "encoded"), config, seed=0)
    module = MemoryModule(network.eval(), config, 1.5)
    with torch.no_grad():
        parts = [(module._step(batch, "val_").item(), batch.mask.sum().item()) for batch in data.val_dataloader()]
    expected = sum(loss * weight for loss, weight in parts) / sum(weight for _, weight in parts)
    assert journal.rows("steps")[0]["val_nll"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("batch", [0, 2, BATCHES, BATCHES + 1, 2 * BATCHES + 3])
def test_a_resumed_m_is_the_uninterrupted_one_bit_for_bit(train_memory: Callable[..., Journal], batch: int) -> None:
    whole, first, second = make_memory(), make_memory(), make_memory()
    expected = train_memory(whole, name="whole")
    with pytest.raises(Interruption):
        train_memory(first, Raise(Interruption(), batch), name="cut")
    got = train_memory(second, name="cut")
    assert changed(second, copy_of(whole)) == set()
    assert without_time(got.rows("steps")) == without_time(expected.rows("steps"))
    assert got.rows("batches") == expected.rows("batches")


def test_a_row_whose_checkpoint_was_never_written_is_forgotten(train_memory: Callable[..., Journal]) -> None:
    """Ended between the row of epoch 2 and its checkpoint: the epoch is trained again, and its row appears once."""

    class End(lightning.Callback):
        def on_train_epoch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
            if trainer.current_epoch == 1:
                raise Interruption

    whole, second = make_memory(), make_memory()
    expected = train_memory(whole, name="whole")
    with pytest.raises(Interruption):
        train_memory(make_memory(), End(), name="cut")
    got = train_memory(second, name="cut")
    assert changed(second, copy_of(whole)) == set()
    assert without_time(got.rows("steps")) == without_time(expected.rows("steps"))
    assert got.rows("batches") == expected.rows("batches")


def test_v_gets_new_noise_in_every_step_and_the_same_for_every_validation(
    train_vision: Callable[..., Journal], monkeypatch: pytest.MonkeyPatch
) -> None:
    noise: dict[bool, list[Tensor]] = {True: [], False: []}
    drawn = VisionModule._noise

    def noted(module: VisionModule, frames: Tensor, generator: torch.Generator) -> Tensor:
        noise[module.training].append(drawn(module, frames, generator))
        return noise[module.training][-1]

    monkeypatch.setattr(VisionModule, "_noise", noted)
    train_vision(make_vision())
    steps, validations = noise[True], noise[False]
    assert len(steps) == 4 and len(validations) == 2  # two epochs of 8 and of 4 frames, 4 a batch
    for i, j in itertools.combinations(range(4), 2):
        assert not torch.isclose(steps[i], steps[j]).any()
    assert torch.equal(validations[0], validations[1])
    assert not any(torch.isclose(validations[0], each).any() for each in steps)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_resumed_v_is_the_uninterrupted_one_bit_for_bit(train_vision: Callable[..., Journal], loss: str) -> None:
    whole, second = make_vision(), make_vision()
    expected = train_vision(whole, name="whole", loss=loss)
    with pytest.raises(Interruption):
        train_vision(make_vision(), Raise(Interruption(), 3), name="cut", loss=loss)
    got = train_vision(second, name="cut", loss=loss)
    assert changed(second, copy_of(whole)) == set()
    assert without_time(got.rows("epochs")) == without_time(expected.rows("epochs"))
    assert got.rows("batches") == expected.rows("batches")
    assert [row["batch"] for row in got.rows("batches")] == [1, 2, 3, 4]


READING = {"loss": {"_target_": "salient", "glimpse": 1.0, "place": 1.0}, "min_learning_rate": 1e-4}


class Readouts(lightning.Callback):
    """Keeps what is thrown away after training, as it was at the start and as it is, and which parameters the optimizer
    holds.
    """

    def on_train_start(self, trainer: lightning.Trainer, module: Any) -> None:
        self.loss = torch.nn.ModuleDict(
            {"loss": module.loss, **({"inverse": module.inverse} if module.inverse else {})}
        )
        self.before = copy_of(self.loss)
        self.held = {id(parameter) for group in trainer.optimizers[0].param_groups for parameter in group["params"]}


@pytest.mark.parametrize("inverse", [0.0, 1.0])
def test_readouts_train_with_v_and_resume_bit_for_bit(train_vision: Callable[..., Journal], inverse: float) -> None:
    whole, second = (make_vision(kind=FovealVAE) for _ in range(2))
    names, expected, resumed = set(whole.state_dict()), Readouts(), Readouts()
    settings = READING | {"inverse": inverse}
    rows = train_vision(whole, expected, name="whole", **settings).rows("batches")
    with pytest.raises(Interruption):
        train_vision(make_vision(kind=FovealVAE), Raise(Interruption(), 3), name="cut", **settings)
    got = train_vision(second, resumed, name="cut", **settings)
    readouts = {f"loss.{name}" for name in ("what.weight", "what.bias", "where.weight", "where.bias")}
    readouts |= {"inverse.action.weight", "inverse.action.bias"} if inverse else set()
    assert changed(expected.loss, expected.before) == readouts == set(dict(expected.loss.named_parameters()))
    assert expected.held >= {id(parameter) for parameter in expected.loss.parameters()}
    assert changed(resumed.loss, copy_of(expected.loss)) == set()
    assert changed(second, copy_of(whole)) == set() and set(whole.state_dict()) == names
    assert got.rows("batches") == rows and len(rows) == 4


class Rates(lightning.Callback):
    """Notes every group's rate at the start of a batch."""

    def __init__(self) -> None:
        self.seen: list[list[float]] = []

    def on_train_batch_start(self, trainer: lightning.Trainer, *_: Any) -> None:
        self.seen.append([group["lr"] for group in trainer.optimizers[0].param_groups])


@pytest.mark.parametrize(("loss", "starts"), [("mse", [1e-3]), ("gan", [1e-3, 2e-4])])
@pytest.mark.parametrize(
    ("least", "shares"), [(None, [1, 1, 1, 1]), (2e-4, [1, 0.6 + 0.2 * 2**0.5, 0.6, 0.6 - 0.2 * 2**0.5])]
)
def test_vs_rate_goes_down_half_a_cosine_or_stays_also_after_a_resume(
    train_vision: Callable[..., Journal], loss: str, starts: list[float], least: float | None, shares: list[float]
) -> None:
    """Four steps, at 0, 45, 90 and 135 degrees; a discriminator's rate falls by the same share."""
    settings: dict[str, Any] = {"loss": loss, "min_learning_rate": least}
    whole, resumed = Rates(), Rates()
    train_vision(make_vision(), whole, name="whole", **settings)
    with pytest.raises(Interruption):
        train_vision(make_vision(), Raise(Interruption(), 3), name="cut", **settings)
    train_vision(make_vision(), resumed, name="cut", **settings)
    for step, share in enumerate(shares):
        assert whole.seen[step] == pytest.approx([share * rate for rate in starts], rel=1e-9)
    assert len(whole.seen) == 4 and resumed.seen == whole.seen[2:]


def test_mse_trains_as_the_study_does_bit_for_bit(train_vision: Callable[..., Journal], tmp_path: Path) -> None:
    """Against a plain loop: squared error summed over a frame, plus KL of at least half a nat for each of 4 numbers."""
    trained, expected = make_vision(), make_vision().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    train_vision(trained)
    data = FrameDataModule(RolloutStore(tmp_path / "rollouts"), vision_config(), seed=0, budget=1.0)
    optimizer, step = torch.optim.Adam(expected.parameters(), lr=1e-3, fused=True), 0
    for epoch in range(2):
        data.sampler.set_epoch(epoch)
        for batch in data.train_dataloader():
            x = (batch.permute(0, 3, 1, 2).float() / 255).contiguous(memory_format=torch.channels_last)
            noise = torch.randn(len(x), 4, generator=torch_generator(0, "vision", 0, step))
            y, (mu, log_var) = expected(x, noise)
            error = ((y - x) ** 2).flatten(1).sum(1)
            kl = 0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum(1)
            optimizer.zero_grad()
            (error + kl.clamp(min=0.5 * 4)).mean().backward()
            optimizer.step()
            step += 1
    assert step == 4
    assert changed(trained, copy_of(expected)) == set()


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_trains_in_bf16_beside_a_frozen_part(train_vision: Callable[..., Journal], loss: str) -> None:
    network = make_vision(("vision.encoder",))
    before = copy_of(network)
    trainer = TrainerConfig(accelerator="cpu", precision="bf16-mixed", threads=1)
    journal = train_vision(network, trainer=trainer, loss=loss)
    assert changed(network, before) == {name for name in before if not name.startswith("encoder.")}
    rows = journal.rows("epochs")
    assert len(rows) == 2 and np.isfinite([value for row in rows for value in row.values()]).all()


def test_a_resumed_run_keeps_frozen_parts_frozen(train_memory: Callable[..., Journal]) -> None:
    frozen = ("memory.lstm",)
    network, watch = make_memory(frozen), Watch()
    before = copy_of(network)
    with pytest.raises(Interruption):
        train_memory(make_memory(frozen), Raise(Interruption(), BATCHES + 1))
    train_memory(network, watch)
    assert len(watch.losses) == BATCHES * (EPOCHS - 1), "the finished epoch is not trained again"
    assert changed(network, before) == {"mdn.weight", "mdn.bias"}
    assert watch.optimised == {id(parameter) for parameter in network.mdn.parameters()}
    assert not any(modes["lstm"] for modes in watch.modes)


def test_a_run_cut_off_after_its_last_epoch_keeps_its_weights(train_memory: Callable[..., Journal]) -> None:
    class End(lightning.Callback):
        def on_train_end(self, *_: Any) -> None:
            raise Interruption

    whole, second = make_memory(), make_memory()
    train_memory(whole, name="whole")
    with pytest.raises(Interruption):
        train_memory(make_memory(), End(), name="cut")
    journal = train_memory(second, name="cut")
    assert changed(second, copy_of(whole)) == set()
    assert [row["step"] for row in journal.rows("steps")] == [4, 8, 12]


def test_a_training_that_is_over_is_not_repeated(train_memory: Callable[..., Journal]) -> None:
    """Its checkpoint stays until the artifact has its name: what comes between may fail."""
    network, again, watch = make_memory(), make_memory(), Watch()
    folder = train_memory(network).folder.parent
    assert {path.name for path in folder.iterdir()} == {"record", CHECKPOINT}
    journal = train_memory(again, watch)
    assert changed(again, copy_of(network)) == set() and watch.losses == []
    assert [row["step"] for row in journal.rows("steps")] == [4, 8, 12]


def test_ctrl_c_comes_out_as_ctrl_c(train_memory: Callable[..., Journal]) -> None:
    network, handler = make_memory(), signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train_memory(network, Raise(KeyboardInterrupt(), BATCHES + 1))
    assert signal.getsignal(signal.SIGINT) == handler, "a second Ctrl-C must count too"
    whole = make_memory()
    train_memory(whole, name="whole")
    train_memory(network)
    assert changed(network, copy_of(whole)) == set(), "the same call again goes on"


def test_precision_is_what_was_asked_for() -> None:
    for precision in ("32-true", "bf16-mixed"):
        assert resolve_precision(TrainerConfig(accelerator="cpu", precision=precision)) == precision
    assert resolve_precision(TrainerConfig(accelerator="cpu")) in ("32-true", "bf16-mixed")
    assert device(CPU) == torch.device("cpu")


class Epochs(lightning.Callback):
    """Keeps the network's weights before training and after every epoch."""

    def __init__(self, network: nn.Module) -> None:
        self.network, self.states = network, [copy_of(network)]

    def on_train_epoch_end(self, *_: Any) -> None:
        self.states.append(copy_of(self.network))

    def changes(self) -> list[set[str]]:
        return [
            {name for name in after if not torch.equal(before[name], after[name])}
            for before, after in itertools.pairwise(self.states)
        ]


def test_gradual_unfreezing_trains_one_more_module_of_v_at_every_epoch(train_vision: Callable[..., Journal]) -> None:
    network = make_vision()
    layers = network.encoder.layers
    epochs, watch = Epochs(network), Watch()
    train_vision(network, GradualUnfreezing([layers[3], layers[2]]), epochs, watch, epochs=3)
    late = [{f"encoder.layers.{i}.{kind}" for kind in ("weight", "bias")} for i in (3, 2)]
    everything = set(network.state_dict())
    assert epochs.changes() == [everything - late[0] - late[1], everything - late[1], everything]
    assert [modes["encoder.layers.2"] for modes in watch.modes] == [False, False, False, False, True, True]


def test_gradual_unfreezing_of_m_goes_on_as_without_an_interruption(train_memory: Callable[..., Journal]) -> None:
    """Interrupted before, in and after the epoch in which the LSTM begins to train."""
    whole = make_memory()
    epochs = Epochs(whole)

    def unfreezing(network: MDNLSTM) -> GradualUnfreezing:
        return GradualUnfreezing([network.lstm])

    rows = without_time(train_memory(whole, unfreezing(whole), epochs, name="whole").rows("steps"))
    assert epochs.changes()[0] == {"mdn.weight", "mdn.bias"}
    assert epochs.changes()[1:] == [set(whole.state_dict())] * 2
    for batch in (BATCHES // 2, BATCHES + 1, 2 * BATCHES + 1):
        network = make_memory()
        with pytest.raises(Interruption):
            train_memory(network, unfreezing(network), Raise(Interruption(), batch), name="cut")
    resumed = make_memory()
    journal = train_memory(resumed, unfreezing(resumed), name="cut")
    assert changed(resumed, copy_of(whole)) == set()
    assert without_time(journal.rows("steps")) == rows


def test_a_weight_that_changes_before_its_turn_is_found_out(train_memory: Callable[..., Journal]) -> None:
    class Meddle(lightning.Callback):
        def on_train_batch_end(self, trainer: lightning.Trainer, module: Any, *_: Any) -> None:
            module.network.lstm.bias.data[0] += 1e-6

    network = make_memory()
    with pytest.raises(RuntimeError, match="before its turn"):
        train_memory(network, Meddle(), GradualUnfreezing([network.lstm]))


@pytest.mark.parametrize("loss", ["mse", "gan"])
def test_gradual_unfreezing_holds_for_both_ways_to_train_v(train_vision: Callable[..., Journal], loss: str) -> None:
    network = make_vision()
    epochs = Epochs(network)
    train_vision(network, GradualUnfreezing([network.encoder]), epochs, loss=loss)
    encoder = {name for name in network.state_dict() if name.startswith("encoder.")}
    assert epochs.changes() == [set(network.state_dict()) - encoder, set(network.state_dict())]


def test_gradual_unfreezing_of_v_goes_on_as_without_an_interruption(train_vision: Callable[..., Journal]) -> None:
    """V's optimizer is a fused one."""
    whole, resumed = make_vision(), make_vision()
    train_vision(whole, GradualUnfreezing([whole.encoder]), name="whole")
    cut = make_vision()
    with pytest.raises(Interruption):
        train_vision(cut, GradualUnfreezing([cut.encoder]), Raise(Interruption(), 2), name="cut")
    train_vision(resumed, GradualUnfreezing([resumed.encoder]), name="cut")
    assert changed(resumed, copy_of(whole)) == set()
