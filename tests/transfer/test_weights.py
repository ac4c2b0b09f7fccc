"""Copying, freezing and counting against the figures of the source study."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import nn

from worldmodels.config import Config
from worldmodels.errors import ConfigError
from worldmodels.memory.network import MDNLSTM
from worldmodels.transfer.weights import copy_weights, count, freeze, load_weights, mismatches, prepare, save_weights
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
    assert copied == set(source.state_dict())
    assert all(torch.equal(target.state_dict()[name], value) for name, value in source.state_dict().items())


@pytest.mark.parametrize(("source_actions", "target_actions"), [(4, 3), (3, 4)])
def test_an_input_layer_of_another_width_stays_fresh(source_actions: int, target_actions: int) -> None:
    source, target, untouched = memory(0, source_actions), memory(1, target_actions), memory(1, target_actions)
    copied = copy_weights(target, source.state_dict())
    assert copied == {"lstm.weight_hidden", "lstm.bias", "mdn.weight", "mdn.bias"}
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
        (memory(0, hidden=128), memory(1), "lstm.bias is (512,), expected (1024,)"),
        (vision(0, latent_size=16), vision(1), "bottleneck.log_var.bias is (16,), expected (32,)"),
        (nn.Linear(2, 2), memory(1), "bias is not in this network"),
        (vision(0).encoder, vision(1), "bottleneck.log_var.bias is missing"),
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
    counts = prepare(target, "vision", saved(vision(0), tmp_path), compose(f"transfer={strategy}").transfer.freeze)
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
    counts = prepare(memory(1), "memory", source, compose(f"transfer={strategy}").transfer.freeze)
    assert_adds_up(counts)
    assert (counts["total"], counts["frozen"], counts["trainable"]) == (M_TOTAL, frozen, trainable)
    assert (counts["copied"], counts["fresh"]) == (M_TOTAL - 1024 * 35, 1024 * 35)
    assert counts["groups"]["mdn"]["copied"] == 123_360


def test_from_scratch_everything_is_fresh_and_trains() -> None:
    counts = prepare(memory(0), "memory", None, [])
    assert_adds_up(counts)
    assert counts["fresh"] == counts["trainable"] == counts["total"] == M_TOTAL


def test_counts_of_a_prefix_do_not_spill_into_a_longer_name() -> None:
    network = nn.ModuleDict({"mu": nn.Linear(2, 3), "mu_more": nn.Linear(2, 4)})
    counts = count(network, {"mu.weight"})
    assert (counts["mu"].total, counts["mu"].copied, counts["mu_more"].total) == (9, 6, 12)


def test_preparing_loads_the_sources_weights(tmp_path: Path) -> None:
    source, target = vision(0), vision(1)
    prepare(target, "vision", saved(source, tmp_path), ["vision.encoder"])
    stored = safetensors.torch.load_file(tmp_path / "source.safetensors")
    assert all(torch.equal(value, stored[name]) for name, value in target.state_dict().items())
