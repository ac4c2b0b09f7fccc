"""A tree of made-up runs: two tasks, three seeds, five strategies at full and at half budget."""

import dataclasses

import pytest
from synthetic import write_run

GAINS = {"scratch": 0.0, "pretrained": 5.0, "freeze2": -2.0, "freeze_lstm": -0.5, "freeze_mdn": 0.25}


@pytest.fixture(scope="session")
def tree(tmp_path_factory, compose):
    """The outputs folder, to be read only. Seeds of freeze_mdn disagree about its gain."""
    outputs = tmp_path_factory.mktemp("tree") / "outputs"
    for env in ("car_racing", "lunar_lander"):
        for name, gain in GAINS.items():
            composed = compose(f"env={env}", f"transfer={name}", "vae.epochs=3", "controller.generations=6")
            for seed in range(3):
                for budget in (1.0,) if name == "scratch" else (1.0, 0.5):
                    transfer = dataclasses.replace(composed.transfer, budget=budget)
                    config = dataclasses.replace(composed, seed=seed, transfer=transfer)
                    write_run(outputs, config, gain * (1 - seed) if name == "freeze_mdn" else gain)
    return outputs
