"""``python -m worldmodels.train``: collect → vision → encode → memory → controller → evaluate, reusing what is
finished.
"""

from omegaconf import DictConfig

from worldmodels.cli import command
from worldmodels.config import Config, check_parts, to_config
from worldmodels.pipeline.source import check_source


def train(composed: DictConfig) -> None:
    """One job. What takes long to import waits until the request has been checked; worker processes, which import this
    module too, need none of it.
    """
    config = to_config(composed)
    source = check_source(config)
    check_parts(config)

    from worldmodels.pipeline.job import run_job

    run_job(config, source)


if __name__ == "__main__":
    command("config", train, "schema", Config)
