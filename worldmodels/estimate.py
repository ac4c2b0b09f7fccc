"""The expected time of a run, from rates measured on two cores of a 2020s server processor."""

from dataclasses import dataclass

from worldmodels.config import STAGES, Config
from worldmodels.training import resolve_precision


@dataclass(frozen=True)
class TaskRate:
    """Steps per second on one core with Gymnasium's renderer, and the usual length of an episode with random
    actions.
    """

    steps_per_second: float
    random_episode: float


TASKS = {"car_racing": TaskRate(142, 1000), "lunar_lander": TaskRate(500, 110), "bipedal_walker": TaskRate(198, 350)}
OTHER_TASK = TaskRate(200, 500)
AGENT_SECONDS = 1 / 557 + 1 / 8600  # V and M for one frame, on one core
VISION_FRAMES = {"32-true": 242.0, "bf16-mixed": 554.0}  # a second, training on both cores
MEMORY_FRAMES = {"32-true": 28_000.0, "bf16-mixed": 58_000.0}
ENCODE_FRAMES = 2_450.0
STAGE_SECONDS = 3.0  # starting processes, checking files


def stage_seconds(config: Config, workers: int) -> dict[str, float]:
    """Seconds of each stage that this config runs, with nothing cached."""
    task = TASKS.get(config.env.name, OTHER_TASK)
    precision = resolve_precision(config.trainer)
    frames = config.collect.rollouts * min(task.random_episode, config.collect.max_steps or config.env.max_steps)
    frames = min(frames, config.collect.frames or frames)
    agent_rate = workers / (1 / task.steps_per_second + AGENT_SECONDS)
    search, evaluation = config.controller, config.evaluate
    search_steps = min(search.max_steps or config.env.max_steps, 2 * task.random_episode)
    search_steps *= search.population * search.rollouts * search.generations
    evaluation_steps = evaluation.episodes * min(evaluation.max_steps or 1000, 1000)
    transfer = config.transfer
    budget = {part: transfer.budget if part in transfer.load else 1.0 for part in ("vision", "memory")}
    memory_frames = config.memory.steps * config.memory.batch_size * config.memory.sequence_length
    seconds = {
        "collect": frames / (workers * task.steps_per_second),
        "vision": budget["vision"] * config.vae.epochs * frames / VISION_FRAMES.get(precision, 242.0),
        "encode": frames / ENCODE_FRAMES,
        "memory": budget["memory"] * memory_frames / MEMORY_FRAMES.get(precision, 28_000.0),
        "controller": search_steps / agent_rate,
        "evaluate": 3 * evaluation_steps / agent_rate,
    }
    wanted = STAGES[: STAGES.index(config.last_stage) + 1]
    return {stage: seconds[stage] + STAGE_SECONDS for stage in wanted}


def describe_time(name: str, seconds: dict[str, float], workers: int) -> str:
    """For example: ``expected time of car_racing: 4 min on 2 cores, nothing cached (collect 40 s, vision 90 s)``."""
    parts = ", ".join(f"{stage} {_duration(value)}" for stage, value in seconds.items())
    return f"expected time of {name}: {_duration(sum(seconds.values()))} on {workers} cores, nothing cached ({parts})"


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.0f} h"
