"""What TensorBoard shows of a run: sections in the order of the pipeline, training and validation in one chart, no
chart of a single point, and beside what was chosen the final score.
"""

from collections.abc import Mapping
from itertools import accumulate
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import TensorBoardLogger

CHANGES_RESULTS = False
ORDER = ("vision", "memory", "controller", "evaluate")  # the stages that show something
SECTIONS = {  # of the tables of records; others hold single points, which results.json and the report tell
    "vision_epochs": "1_vision",
    "vision_batches": "1_vision_batches",
    "memory_steps": "2_memory",
    "memory_batches": "2_memory_batches",
    "measure_memory_open_loop": "2_memory_forecasts",
    "controller_generations": "3_controller",
}
SCORE, RANDOM = "4_evaluate/score", "4_evaluate/random"  # after so many episodes
VALIDATION = "validation"  # the run of TensorBoard's that stands beside the run itself
BESIDE = {"validation": "mean", "dream": "dream"}  # of a generation: what is validated
# TensorBoard takes the columns of its table from one run, so that all runs name all, reached or not.
MEASURED = (SCORE, "3_controller/mean", "2_memory/nll", "1_vision/reconstruction")
CHOSEN = ("vae.epochs", "vae.learning_rate", "vae.kl_floor", "memory.steps", "memory.learning_rate")
CHOSEN += ("controller.population", "controller.rollouts", "controller.generations", "collect.rollouts")


class Board:
    """One of Lightning's TensorBoard loggers."""

    def __init__(self, logger: TensorBoardLogger) -> None:
        self.logger = logger
        self._validation: TensorBoardLogger | None = None

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """``values`` by ``stage_table/name``, or by ``stage/name`` of a user's own callback."""
        own: dict[str, float] = {}
        validated: dict[str, float] = {}
        for key, value in values.items():
            table, _, name = key.rpartition("/")
            section = SECTIONS.get(table) or (_section(table) if table in ORDER else None)
            if section is None or name in ("seconds", "validation_std", "dream_std"):
                continue
            if name.startswith("val_"):
                validated[f"{section}/{name.removeprefix('val_')}"] = value
            elif table == "controller_generations" and name in BESIDE:
                validated[f"{section}/{BESIDE[name]}"] = value
            else:
                own[f"{section}/{name}"] = value
        if own:
            self.logger.log_metrics(own, step)
        if validated:
            self.validation.log_metrics(validated, step)

    @property
    def validation(self) -> TensorBoardLogger:
        """What has the same tags as the run, so that both are in one chart."""
        if self._validation is None:
            self._validation = TensorBoardLogger(self.logger.log_dir, name=VALIDATION, version="")
        return self._validation

    def finish(self, results: Mapping[str, Any]) -> None:
        """The score as it settles over the episodes, and the table that sets what came out beside what was chosen."""
        if score := results.get("evaluation"):
            for tag, returns in ((SCORE, score["returns"]), (RANDOM, score["random"]["returns"])):
                for count, total in enumerate(accumulate(returns), 1):
                    self.logger.log_metrics({tag: total / count}, count)
        self._table(_chosen(results))

    def _table(self, chosen: Mapping[str, Any]) -> None:
        from torch.utils.tensorboard.summary import hparams

        writer = self.logger.experiment.file_writer
        assert writer is not None
        for summary in hparams(dict(chosen), dict.fromkeys(MEASURED, 0)):  # the last value of a tag is shown
            writer.add_summary(summary)

    def picture(self, tag: str, step: int, path: Path) -> None:
        """A PNG or GIF; ``tag``: ``stage/name``. It is in a section of pictures, as TensorBoard shows none that has the
        tag of a chart: V's reconstructions beside the curve of reconstruction.
        """
        from tensorboard.compat.proto.summary_pb2 import Summary  # pyright: ignore[reportAttributeAccessIssue]

        stage, _, name = tag.partition("/")
        image = Summary.Image(encoded_image_string=path.read_bytes())
        writer = self.logger.experiment.file_writer
        assert writer is not None
        writer.add_summary(Summary(value=[Summary.Value(tag=f"{_section(stage)}_pictures/{name}", image=image)]), step)

    def flush(self) -> None:
        for logger in filter(None, (self.logger, self._validation)):
            logger.save()

    def close(self) -> None:
        for logger in filter(None, (self.logger, self._validation)):
            logger.finalize("success")


def _section(stage: str) -> str:
    return f"{ORDER.index(stage) + 1}_{stage}" if stage in ORDER else stage


def _chosen(results: Mapping[str, Any]) -> dict[str, Any]:
    """What may tell runs apart: the task, the strategy, the parts, the seed, and the sizes of the budgets."""
    config = results["config"]
    chosen = {key: results[key] or "" for key in ("env", "transfer", "source_env", "scale")}
    chosen |= {"seed": results["seed"], "transfer.budget": config["transfer"]["budget"]}
    for node, key in (("vae", "network"), ("vae", "loss"), ("memory", "network"), ("controller", "search")):
        part = config[node][key]
        chosen[f"{node}.{key}"] = str(part["_target_"] if isinstance(part, Mapping) else part).rpartition(".")[2]
    for key in CHOSEN:
        node, _, name = key.partition(".")
        value = config[node].get(name)
        if isinstance(value, int | float):
            chosen[key] = value
    return chosen
