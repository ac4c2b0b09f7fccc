"""``python -m worldmodels.train``: collect → vision → encode → memory → controller → evaluate, reusing what is
finished.
"""

from omegaconf import DictConfig

from worldmodels.cli import command
from worldmodels.config import Config


def train(composed: DictConfig) -> None:
    """One job. Imports wait until it starts, because worker processes import this module too."""
    from worldmodels.job import run_job

    run_job(composed)


if __name__ == "__main__":
    command("config", train, "schema", Config)
