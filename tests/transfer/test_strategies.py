"""What each strategy asks for, and that a model can be made again from what it left."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from worldmodels.config import Config, plain
from worldmodels.factory import make_memory
from worldmodels.transfer.budgets import budget_of, epochs_of
from worldmodels.transfer.config import strategy_label
from worldmodels.transfer.weights import prepare, save_weights

Compose = Callable[..., Config]
Choices = dict[str, Any]

ENCODER = [f"vision.encoder.layers.{i}" for i in (3, 2, 1, 0)]
STUDY = {"freeze": [], "budget": 0.5}
FREEZE2 = {**STUDY, "freeze": ["vision.encoder.layers.0", "vision.encoder.layers.1"]}
FROZEN_LSTM = {**STUDY, "freeze": ["memory.lstm"]}
TRANSFERRED: list[tuple[str, Choices, Choices]] = [  # what the training of V and of M depends on
    ("scratch", {}, {}),
    ("scratch transfer.budget=0.5", STUDY, STUDY),
    ("pretrained", STUDY, STUDY),
    ("pretrained transfer.budget=1.0", {**STUDY, "budget": 1.0}, {**STUDY, "budget": 1.0}),
    ("pretrained_vision", STUDY, {}),
    ("pretrained_memory", {}, STUDY),
    ("freeze2", FREEZE2, {}),
    ("freeze_encoder", {**STUDY, "freeze": ["vision.encoder"]}, {}),
    ("freeze_lstm", {}, FROZEN_LSTM),
    ("freeze_lstm transfer.input_layer=adapter", {}, {**FROZEN_LSTM, "input_layer": "adapter"}),
    ("freeze_mdn", {}, {**STUDY, "freeze": ["memory.mdn"]}),
    ("random_encoder", {"freeze_random": ["vision.encoder"]}, {}),
    ("random_encoder transfer.budget=0.5", {**STUDY, "freeze_random": ["vision.encoder"]}, STUDY),
    ("random_lstm", {}, {"freeze_random": ["memory.lstm"]}),
    ("random_memory", {}, {"freeze_random": ["memory"]}),
    ("from_noise", STUDY, {}),  # the source is another one, and a parent
    ("aligned", {**STUDY, "freeze": ["vision"]}, {**STUDY, "input_layer": "keep_latent"}),
    (
        "feature_extraction",
        {**STUDY, "freeze": ["vision.encoder"], "load": ["vision.encoder"]},
        {},
    ),
    ("gradual_unfreezing", {**STUDY, "unfreeze": ENCODER}, {}),
    ("fractional", {**STUDY, "fraction": 0.2}, {**STUDY, "fraction": 0.2}),
    ("warm_controller", {**STUDY, "freeze": ["vision"]}, {**FROZEN_LSTM, "input_layer": "keep_latent"}),
]


@pytest.mark.parametrize(("strategy", "vision", "memory"), TRANSFERRED, ids=[row[0] for row in TRANSFERRED])
def test_what_training_depends_on_of_a_strategy(
    compose: Compose, strategy: str, vision: Choices, memory: Choices
) -> None:
    transfer = compose(*f"transfer={strategy}".split()).transfer
    assert transfer.choices("vision") == vision
    assert transfer.choices("memory") == memory


@pytest.mark.parametrize(
    ("overrides", "epochs"),
    [
        ([], {"vision": 2, "memory": 2}),
        (["transfer.budget=0.5"], {"vision": 2, "memory": 1}),
        (["transfer.budget=0.5", "transfer.budgeted=[vision]"], {"vision": 2, "memory": 2}),
        (["transfer=pretrained"], {"vision": 2, "memory": 1}),
        (["transfer=freeze2"], {"vision": 2, "memory": 2}),
    ],
)
def test_a_budget_holds_for_what_is_loaded_or_where_nothing_is(
    compose: Compose, overrides: list[str], epochs: dict[str, int]
) -> None:
    config = compose("scale=smoke", *overrides)
    assert {part: epochs_of(config, part) for part in epochs} == epochs  # of V a budget takes data, of M steps
    assert budget_of(config.transfer, "vision") == (0.5 if overrides else 1.0)


@pytest.mark.parametrize(
    ("overrides", "label"),
    [
        ("transfer=scratch", "scratch"),
        ("transfer=scratch transfer.budget=0.5", "scratch-budget0.5"),
        ("transfer=scratch transfer.budget=0.5 transfer.budgeted=[vision]", "scratch-budget0.5-vision"),
        ("transfer=scratch transfer.budget=0.5 transfer.budgeted=[memory,vision]", "scratch-budget0.5"),
        ("transfer=scratch transfer.budget=0.5 transfer.budgeted=[]", "scratch"),
        ("transfer=random_lstm transfer.budget=0.25", "random_lstm-budget0.25"),
        ("transfer=freeze2", "freeze2"),
        ("transfer=freeze2 transfer.budget=1.0", "freeze2-budget1"),
        ("transfer=freeze2 transfer.budget=1.0 transfer.budgeted=[vision]", "freeze2-budget1"),
    ],
)
def test_an_unusual_budget_is_told_by_the_label(compose: Compose, overrides: str, label: str) -> None:
    assert strategy_label(plain(compose("memory.validate_every=1", *overrides.split()).transfer)) == label


@pytest.mark.parametrize("source_actions", [2, 3, 4])
def test_a_model_with_an_adapter_can_be_made_again_from_its_file(
    compose: Compose, tmp_path: Path, source_actions: int
) -> None:
    config = compose("scale=smoke", "transfer=freeze_lstm", "transfer.input_layer=adapter")
    source, own = tmp_path / "source.safetensors", tmp_path / "own.safetensors"
    save_weights(make_memory(compose("scale=smoke"), source_actions), source)
    network = make_memory(config, 3, source=source)
    prepare(network, "memory", source, config.transfer, 1)
    save_weights(network, own)
    again = make_memory(config, 3, own)
    z, actions = torch.randn(2, 5, 32), torch.randn(2, 5, 3)
    assert torch.equal(again.unroll(z, actions)[0], network.unroll(z, actions)[0])
    assert again.lstm.weight_input.shape[1] == 32 + source_actions
