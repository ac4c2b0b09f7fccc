"""What bf16 changes: ``python experiments/performance/precision.py RUN [episodes] [FILE.csv]``.

RUN is a finished run. (1) V is trained from three seeds for equal steps in float32 and in bf16 on the run's data, with
the same batches and noise; the validation errors are compared. (2) The run's agent plays the same episodes with V in
float32 and in bf16; the returns are compared pair by pair. (3) The same episodes are played with other numbers of slots
and workers; the returns must be the same to the bit.
"""

import argparse
import csv
import tempfile
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from worldmodels.cli import prepare_process
from worldmodels.config import Config, config_to_json
from worldmodels.controller.agent import AgentEpisodes
from worldmodels.pipeline.stages import vision
from worldmodels.rollouts.engine import Episode
from worldmodels.rollouts.executor import Executor
from worldmodels.rollouts.processes import ProcessExecutor
from worldmodels.store.journal import Journal
from worldmodels.store.runs import FinishedRun
from worldmodels.utils.seeds import episode_seed
from worldmodels.utils.statistics import describe

SEEDS = (0, 1, 2)
EPOCHS = 1
STREAM = 2**20  # episodes that no stage plays


def with_precision(config: Config, precision: str) -> Config:
    return replace(config, trainer=replace(config.trainer, precision=precision, accelerator="cpu"))


def train_vision(run: FinishedRun, precision: str, seed: int) -> float:
    """Validation error of V's reconstruction after `EPOCHS` epochs."""
    config = with_precision(replace(run.config, seed=seed, vae=replace(run.config.vae, epochs=EPOCHS)), precision)
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder), None, "vision")
        summary = vision.run(config, run.artifact("collect").path, None, None, Path(folder), journal)
    return summary["epochs"][-1]["val_reconstruction"]


def returns(run: FinishedRun, config: Config, executor: Executor, episodes: int) -> np.ndarray:
    """Of the run's agent, (episodes,)."""
    player = load_file(run.controller.weights)["mean"]
    work = AgentEpisodes(config_to_json(config), run.vision.weights, run.memory.weights, None, config.executor.slots)
    items = [Episode(i, episode_seed(config.seed, "figures", STREAM, i), player) for i in range(episodes)]
    values = {episode.label: value for episode, value in executor.map(work, items)}
    return np.array([values[i] for i in range(episodes)])


def main(folder: Path, episodes: int, target: Path | None) -> None:
    cores = prepare_process()
    run = FinishedRun(folder)
    rows = []
    for seed in SEEDS:
        values = {precision: train_vision(run, precision, seed) for precision in ("32-true", "bf16-mixed")}
        rows += [{"what": f"V, validation error, seed {seed}", "value": p, "figure": v} for p, v in values.items()]
    with closing(ProcessExecutor(cores)) as executor:
        played = {
            precision: returns(run, with_precision(run.config, precision), executor, episodes)
            for precision in ("32-true", "bf16-mixed")
        }
        for precision, values in played.items():
            summary = describe(values.tolist())
            rows.append({"what": "return, mean", "value": precision, "figure": summary["mean"]})
            rows.append({"what": "return, standard deviation", "value": precision, "figure": summary["std"]})
        difference = describe((played["bf16-mixed"] - played["32-true"]).tolist())
        rows.append({"what": "return, paired difference, mean", "value": "bf16 - 32", "figure": difference["mean"]})
        rows += [
            {"what": "return, paired difference, 95 %", "value": name, "figure": bound}
            for name, bound in zip(("from", "to"), difference["interval"] or (None, None), strict=True)
        ]
        for slots in (3, 33):
            config = with_precision(run.config, "bf16-mixed")
            config = replace(config, executor=replace(config.executor, slots=slots))
            same = np.array_equal(returns(run, config, executor, episodes), played["bf16-mixed"])
            rows.append({"what": "returns the same to the bit", "value": f"{slots} slots", "figure": same})
    with closing(ProcessExecutor(1)) as executor:
        alone = returns(run, with_precision(run.config, "bf16-mixed"), executor, episodes)
        same = np.array_equal(alone, played["bf16-mixed"])
        rows.append({"what": "returns the same to the bit", "value": "1 worker", "figure": same})
    for row in rows:
        print(f"{row['what']:36}{row['value']:12}{row['figure']}", flush=True)
    if target is not None:
        with target.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("episodes", type=int, nargs="?", default=32)
    parser.add_argument("table", type=Path, nargs="?", help="CSV file to write")
    arguments = parser.parse_args()
    main(arguments.run, arguments.episodes, arguments.table)
