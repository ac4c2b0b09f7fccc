"""A tree of made-up runs: two tasks, three seeds, five strategies at full and at half budget."""

import pytest
from synthetic import write_run

GAINS = {"scratch": 0.0, "pretrained": 5.0, "freeze2": -2.0, "freeze_lstm": -0.5, "freeze_mdn": 0.25}


@pytest.fixture
def tree(tmp_path, compose):
    """The outputs folder. Seeds of freeze_mdn disagree about its gain."""
    for env in ("car_racing", "lunar_lander"):
        for name, gain in GAINS.items():
            for seed in range(3):
                own = gain * (1 - seed) if name == "freeze_mdn" else gain
                for budget in (1.0,) if name == "scratch" else (1.0, 0.5):
                    config = compose(f"env={env}", f"transfer={name}", f"seed={seed}", f"transfer.budget={budget}")
                    write_run(tmp_path / "outputs", config, own)
    return tmp_path / "outputs"
