"""Copying, freezing and counting against the figures of the source study."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import nn

from worldmodels.config import Config
from worldmodels.factory import make_memory, make_vision
from worldmodels.memory.network import MDNLSTM
from worldmodels.transfer.config import TransferConfig
from worldmodels.transfer.weights import (
    copy_weights,
    count,
    freeze,
    load_weights,
    mismatches,
    prepare,
    save_tensors,
    save_weights,
)
from worldmodels.utils.errors import ConfigError, DamagedFile
from worldmodels.vision.network import ConvVAE

Compose = Callable[..., Config]
V_TOTAL = 690_144 + 2 * 32_800 + 33_792 + 3_276_928 + 204_864 + 73_760 + 3_459
M_TOTAL = 299_008 + 123_360


def vision(seed: int, latent_size: int = 32) -> ConvVAE:
    torch.manual_seed(seed)
    return ConvVAE(latent_size)


def memory(seed: int, actions: int = 3, hidden: int = 256) -> MDNLSTM:
    torch.manual_seed(seed)
    return MDNLSTM(32, actions, hidden, 5)


def saved(network: nn.Module, folder: Path) -> Path:
    save_weights(network, folder / "source.safetensors")
    return folder / "source.safetensors"


def frozen_names(network: nn.Module) -> set[str]:
    return {name for name, parameter in network.named_parameters() if not parameter.requires_grad}


def assert_adds_up(counts: dict[str, Any]) -> None:
    for each in (counts, *counts["groups"].values()):
        assert each["copied"] + each["fresh"] == each["frozen"] + each["trainable"] == each["total"]
    for key in ("total", "copied", "fresh", "frozen", "trainable"):
        assert sum(group[key] for group in counts["groups"].values()) == counts[key]


def test_saved_weights_come_back_bit_for_bit(tmp_path: Path) -> None:
    source, target = memory(0), memory(1)
    load_weights(target, saved(source, tmp_path))
    for name, value in source.state_dict().items():
        assert torch.equal(target.state_dict()[name], value), name


@pytest.mark.parametrize("wrong", [memory(0, actions=4), memory(0, hidden=16)])
def test_an_artifact_of_other_shapes_does_not_load(tmp_path: Path, wrong: MDNLSTM) -> None:
    with pytest.raises(RuntimeError, match="size mismatch"):
        load_weights(memory(1), saved(wrong, tmp_path))


def test_copying_between_equal_networks_copies_everything() -> None:
    source, target = memory(0), memory(1)
    copied = copy_weights(target, source.state_dict())
    assert copied == {name: value.numel() for name, value in source.state_dict().items()}
    assert all(torch.equal(target.state_dict()[name], value) for name, value in source.state_dict().items())


@pytest.mark.parametrize(("source_actions", "target_actions"), [(4, 3), (3, 4)])
def test_an_input_layer_of_another_width_stays_fresh(source_actions: int, target_actions: int) -> None:
    source, target, untouched = memory(0, source_actions), memory(1, target_actions), memory(1, target_actions)
    copied = copy_weights(target, source.state_dict())
    assert set(copied) == {"lstm.weight_hidden", "lstm.bias", "mdn.weight", "mdn.bias"}
    assert torch.equal(target.lstm.weight_input, untouched.lstm.weight_input)
    for name in copied:
        assert torch.equal(target.state_dict()[name], source.state_dict()[name]), name


def test_a_copy_shares_no_memory_with_its_source() -> None:
    source, target = memory(0), memory(1)
    copy_weights(target, dict(source.named_parameters()))
    before = source.mdn.weight.detach().clone()
    with torch.no_grad():
        target.mdn.weight.add_(1)
    assert torch.equal(source.mdn.weight, before)


@pytest.mark.parametrize(
    ("source", "target", "part"),
    [
        (memory(0, hidden=128), memory(1), "lstm.bias is (512,) in the source's network and (1024,) in this run's"),
        (vision(0, latent_size=16), vision(1), "bottleneck.log_var.bias is (16,) in the source's"),
        (nn.Linear(2, 2), memory(1), "bias is in the source's network and not in this run's"),
        (vision(0).encoder, vision(1), "bottleneck.log_var.bias is missing in the source's network"),
    ],
)
def test_a_mismatch_is_one_clear_line_and_copies_nothing(source: nn.Module, target: nn.Module, part: str) -> None:
    before = {name: value.clone() for name, value in target.state_dict().items()}
    with pytest.raises(ConfigError) as error:
        copy_weights(target, source.state_dict())
    assert part in str(error.value) and "\n" not in str(error.value)
    assert all(torch.equal(value, before[name]) for name, value in target.state_dict().items())


def test_every_mismatch_is_named() -> None:
    shapes = {name: tuple(value.shape) for name, value in memory(0, hidden=128).state_dict().items()}
    assert [line.split()[0] for line in mismatches(memory(1), shapes)] == [
        "lstm.bias",
        "lstm.weight_hidden",
        "mdn.weight",
    ]
    assert mismatches(memory(1), {n: tuple(v.shape) for n, v in memory(0, actions=9).state_dict().items()}) == []


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        ([], set()),
        (["memory.lstm"], {"lstm.weight_input", "lstm.weight_hidden", "lstm.bias"}),
        (["memory.mdn"], {"mdn.weight", "mdn.bias"}),
        (["memory.mdn", "memory.lstm"], set(memory(0).state_dict())),
        (["memory"], set(memory(0).state_dict())),
        (["vision", "vision.encoder"], set()),
    ],
)
def test_freezing_by_path(paths: list[str], expected: set[str]) -> None:
    network = memory(0)
    freeze(network, "memory", paths)
    assert frozen_names(network) == expected


def test_freezing_a_layer_leaves_its_neighbours_alone() -> None:
    network = vision(0)
    freeze(network, "vision", ["vision.encoder.layers.1", "memory.lstm"])
    assert frozen_names(network) == {"encoder.layers.1.weight", "encoder.layers.1.bias"}


@pytest.mark.parametrize("path", ["vision.encoder.layers.4", "vision.encoder.layer", "vision.encoder.layers.0.weight"])
def test_a_path_to_nothing_is_one_clear_line(path: str) -> None:
    network = vision(0)
    with pytest.raises(ConfigError) as error:
        freeze(network, "vision", [path])
    assert path in str(error.value) and "vision.encoder.layers.0" in str(error.value) and "\n" not in str(error.value)
    assert frozen_names(network) == set()


@pytest.mark.parametrize(
    ("strategy", "frozen", "encoder_trainable"),
    [
        ("pretrained_vision", 0, 690_144),
        ("freeze2", 34_400, 655_744),
        ("freeze_encoder", 690_144, 0),
    ],
)
def test_the_studys_counts_for_v(
    compose: Compose, tmp_path: Path, strategy: str, frozen: int, encoder_trainable: int
) -> None:
    target = vision(1)
    counts = prepare(target, "vision", saved(vision(0), tmp_path), compose(f"transfer={strategy}").transfer, 1)
    assert_adds_up(counts)
    assert counts["total"] == counts["copied"] == V_TOTAL
    assert counts["frozen"] == frozen
    assert counts["groups"]["encoder"]["total"] == 690_144
    assert counts["groups"]["encoder"]["trainable"] == encoder_trainable
    assert counts["frozen"] == sum(p.numel() for p in target.parameters() if not p.requires_grad)


@pytest.mark.parametrize(
    ("strategy", "frozen", "trainable"),
    [
        ("pretrained_memory", 0, M_TOTAL),
        ("freeze_lstm", 299_008, 123_360),
        ("freeze_mdn", 123_360, 299_008),
    ],
)
def test_the_studys_counts_for_m(compose: Compose, tmp_path: Path, strategy: str, frozen: int, trainable: int) -> None:
    """BipedalWalker (4 actions) to CarRacing (3): the input layer, 1,024 × 35, is fresh."""
    source = saved(memory(0, actions=4), tmp_path)
    counts = prepare(memory(1), "memory", source, compose(f"transfer={strategy}").transfer, 1)
    assert_adds_up(counts)
    assert (counts["total"], counts["frozen"], counts["trainable"]) == (M_TOTAL, frozen, trainable)
    assert (counts["copied"], counts["fresh"]) == (M_TOTAL - 1024 * 35, 1024 * 35)
    assert counts["groups"]["mdn"]["copied"] == 123_360


def test_from_scratch_everything_is_fresh_and_trains() -> None:
    counts = prepare(memory(0), "memory", None, TransferConfig(), 1)
    assert_adds_up(counts)
    assert counts["fresh"] == counts["trainable"] == counts["total"] == M_TOTAL


def test_counts_of_a_prefix_do_not_spill_into_a_longer_name() -> None:
    network = nn.ModuleDict({"mu": nn.Linear(2, 3), "mu_more": nn.Linear(2, 4)})
    counts = count(network, {"mu.weight": 6})
    assert (counts["mu"].total, counts["mu"].copied, counts["mu_more"].total) == (9, 6, 12)


def test_preparing_loads_the_sources_weights(tmp_path: Path) -> None:
    source, target = vision(0), vision(1)
    strategy = TransferConfig(load=["vision"], freeze=["vision.encoder"], source_env="car_racing")
    prepare(target, "vision", saved(source, tmp_path), strategy, 1)
    stored = safetensors.torch.load_file(tmp_path / "source.safetensors")
    assert all(torch.equal(value, stored[name]) for name, value in target.state_dict().items())


LSTM_INPUT = 1024 * 35  # of CarRacing's M
ENCODER = [1_568, 32_832, 131_200, 524_544]  # of V, layer by layer


def strategy(**values: Any) -> TransferConfig:
    return TransferConfig(name="test", source_env="bipedal_walker", **values)


def test_the_latent_columns_of_an_input_layer_can_be_kept(tmp_path: Path) -> None:
    source, target, untouched = memory(0, actions=4), memory(1), memory(1)
    transfer = strategy(load=["memory"], freeze=["memory.lstm"], input_layer="keep_latent")
    counts = prepare(target, "memory", saved(source, tmp_path), transfer, 1, columns=32)
    assert torch.equal(target.lstm.weight_input[:, :32], source.lstm.weight_input[:, :32])
    assert torch.equal(target.lstm.weight_input[:, 32:], untouched.lstm.weight_input[:, 32:])
    assert_adds_up(counts)
    assert (counts["copied"], counts["fresh"]) == (M_TOTAL - 1024 * 3, 1024 * 3)
    assert counts["groups"]["lstm"]["frozen"] == 299_008  # the action columns too


def test_an_input_layer_of_the_same_width_is_copied_whole(tmp_path: Path) -> None:
    transfer = strategy(load=["memory"], input_layer="keep_latent")
    counts = prepare(memory(1), "memory", saved(memory(0), tmp_path), transfer, 1, columns=32)
    assert counts["copied"] == M_TOTAL


@pytest.mark.parametrize("source_actions", [4, 3])
def test_behind_an_adapter_the_whole_lstm_is_copied_and_can_be_frozen(tmp_path: Path, source_actions: int) -> None:
    source, width = memory(0, source_actions), 32 + source_actions
    torch.manual_seed(1)
    target = MDNLSTM(32, 3, 256, 5, adapter_width=width)
    transfer = strategy(load=["memory"], freeze=["memory.lstm"], input_layer="adapter")
    counts = prepare(target, "memory", saved(source, tmp_path), transfer, 1)
    assert torch.equal(target.lstm.weight_input, source.lstm.weight_input)
    assert_adds_up(counts)
    assert counts["groups"]["lstm"]["copied"] == counts["groups"]["lstm"]["frozen"] == 4 * 256 * (width + 256 + 1)
    assert counts["groups"]["adapter"]["fresh"] == counts["groups"]["adapter"]["trainable"] == width * (35 + 1)


def test_an_adapter_is_the_networks_own(tmp_path: Path) -> None:
    torch.manual_seed(0)
    source = MDNLSTM(32, 4, 256, 5, adapter_width=36)
    shapes = {name: tuple(value.shape) for name, value in source.state_dict().items()}
    assert mismatches(memory(1), shapes) == [
        "adapter.bias is in the source's network and not in this run's",
        "adapter.weight is in the source's network and not in this run's",
    ]
    target = MDNLSTM(32, 4, 256, 5, adapter_width=36)
    assert not {name for name in copy_weights(target, source.state_dict()) if name.startswith("adapter")}


def test_parts_of_a_network_can_be_loaded(tmp_path: Path) -> None:
    """Feature extraction; what is not loaded may be of other sizes."""
    source, target, untouched = vision(0, latent_size=16), vision(1), vision(1)
    transfer = strategy(load=["vision.encoder"], freeze=["vision.encoder"])
    counts = prepare(target, "vision", saved(source, tmp_path), transfer, 1)
    assert_adds_up(counts)
    assert counts["copied"] == counts["frozen"] == counts["groups"]["encoder"]["total"] == sum(ENCODER)
    for name, value in target.state_dict().items():
        origin = source if name.startswith("encoder.") else untouched
        assert torch.equal(value, origin.state_dict()[name]), name


def test_a_path_to_load_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"transfer\.load=vision\.eye is no module: expected vision or one of"):
        prepare(vision(1), "vision", saved(vision(0), tmp_path), strategy(load=["vision.eye"]), 1)


def test_a_fraction_of_the_sources_weights_is_added(tmp_path: Path) -> None:
    source, target, fresh = memory(0, actions=4), memory(1), memory(1)
    counts = prepare(target, "memory", saved(source, tmp_path), strategy(load=["memory"], fraction=0.25), 1)
    assert (counts["copied"], counts["fresh"]) == (M_TOTAL - LSTM_INPUT, LSTM_INPUT)
    assert torch.equal(target.lstm.weight_input, fresh.lstm.weight_input)
    for name in ("lstm.weight_hidden", "lstm.bias", "mdn.weight", "mdn.bias"):
        expected = fresh.state_dict()[name] + 0.25 * source.state_dict()[name]
        torch.testing.assert_close(target.state_dict()[name], expected, rtol=0, atol=0)


def test_freezing_at_random_needs_no_source() -> None:
    network, untouched = vision(1), vision(1)
    counts = prepare(network, "vision", None, TransferConfig(freeze_random=["vision.encoder"]), 1)
    assert (counts["copied"], counts["frozen"]) == (0, sum(ENCODER))
    assert frozen_names(network) == {name for name in network.state_dict() if name.startswith("encoder.")}
    assert all(torch.equal(value, untouched.state_dict()[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize(("epochs", "frozen"), [(1, 4), (2, 3), (4, 1), (5, 0), (9, 0)])
def test_what_is_never_unfrozen_counts_as_frozen(compose: Compose, tmp_path: Path, epochs: int, frozen: int) -> None:
    transfer = compose("transfer=gradual_unfreezing").transfer
    counts = prepare(vision(1), "vision", saved(vision(0), tmp_path), transfer, epochs)
    assert counts["frozen"] == sum(ENCODER[:frozen])


def test_the_first_epoch_must_have_something_to_train(tmp_path: Path) -> None:
    transfer = strategy(load=["memory"], unfreeze=["memory.lstm", "memory.mdn"])
    with pytest.raises(ConfigError, match="leaves nothing of memory to train in the first epoch: expected fewer"):
        prepare(memory(1, actions=4), "memory", saved(memory(0, actions=4), tmp_path), transfer, 2)
    counts = prepare(memory(1, actions=4), "memory", saved(memory(0, actions=4), tmp_path), transfer, 1)
    assert counts["trainable"] == 0


@pytest.mark.parametrize(("epochs", "never"), [(1, "3, 2, 1, 0"), (4, "0"), (5, "")])
def test_what_no_epoch_unfreezes_is_told_in_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, epochs: int, never: str
) -> None:
    paths = [f"vision.encoder.layers.{i}" for i in (3, 2, 1, 0)]
    prepare(vision(1), "vision", saved(vision(0), tmp_path), strategy(load=["vision"], unfreeze=paths), epochs)
    told = [record.getMessage() for record in caplog.records]
    frozen = ", ".join(f"vision.encoder.layers.{i}" for i in never.split(", "))
    line = f"  transfer.unfreeze needs 5 epochs of vision and has {epochs}; frozen to the end: {frozen}"
    assert told == ([line] if never else [])


@pytest.mark.parametrize(
    ("strategy", "part", "apart"),
    [
        ("fractional", "vision", True),
        ("fractional", "memory", True),
        ("feature_extraction", "vision", True),
        ("feature_extraction", "memory", False),  # loads nothing of it
        ("pretrained", "vision", False),
    ],
)
def test_what_meets_a_sources_weights_does_not_start_as_the_source_did(compose, strategy, part, apart):
    config = compose(f"transfer={strategy}", "vae=cvae", "seed=3")
    source = compose(f"env={config.transfer.source_env}", "vae=cvae", "seed=3")
    ours, theirs = (
        (make_vision(each) if part == "vision" else make_memory(each, 3)).state_dict() for each in (config, source)
    )
    alike = [torch.equal(value, theirs[name]) for name, value in ours.items()]
    assert not any(alike) if apart else all(alike)


def test_a_head_that_leans_on_a_skip_gain_is_not_taken_without_it():
    torch.manual_seed(0)
    source, plain = MDNLSTM(4, 2, 8, 3, skip_gain=True), MDNLSTM(4, 2, 8, 3)
    with pytest.raises(ConfigError, match="skip_gain"):
        copy_weights(plain, source.state_dict())
    assert "skip_gain.gain" in copy_weights(MDNLSTM(4, 2, 8, 3, skip_gain=True), source.state_dict())
    assert "skip_gain.gain" not in copy_weights(MDNLSTM(4, 2, 8, 3, skip_gain=True), plain.state_dict())


def test_a_fraction_of_nothing_is_refused(compose):
    with pytest.raises(ConfigError, match=r"fraction=0\.2 needs a source"):
        compose("transfer=scratch", "transfer.fraction=0.2")


@pytest.mark.parametrize(
    "spoilt",
    [
        lambda weights: {name: value for name, value in weights.items() if name != "mdn.bias"},
        lambda weights: weights | {"mdn.bias": torch.zeros(3)},
        lambda weights: weights | {"extra": torch.zeros(1)},
        lambda weights: b"\x80\x04\x95 a pickle",
        lambda weights: (1 << 62).to_bytes(8, "little") + b"{}",
    ],
)
def test_weights_of_another_form_are_refused_in_a_line(tmp_path, spoilt):
    """Of a pickle, and of a header of absurd length, nothing is run and nothing is reserved."""
    network, path = MDNLSTM(latent_size=3, action_size=2, hidden_size=8, mixtures=4), tmp_path / "weights.safetensors"
    made = spoilt(network.state_dict())
    path.write_bytes(made) if isinstance(made, bytes) else save_tensors(made, path)
    with pytest.raises(DamagedFile, match="does not hold the weights of MDNLSTM") as caught:
        load_weights(network, path)
    assert "\n" not in str(caught.value)
