"""The expected time of a run, from measured rates."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from worldmodels.config import STAGES, Config
from worldmodels.controller.agent import ROWS
from worldmodels.controller.inputs import place_at
from worldmodels.diagnostics.measures import HORIZONS
from worldmodels.diagnostics.open_loop import STRIDE
from worldmodels.rollouts.config import RolloutsConfig
from worldmodels.training.hardware import resolve_precision
from worldmodels.transfer.budgets import budget_of
from worldmodels.utils.progress import duration
from worldmodels.utils.words import number_of


@dataclass(frozen=True)
class Rates:
    """Steps or frames per second. The defaults are those of two cores of a 2020s server processor with bf16:
    experiments/performance/cpu.json.
    """

    drawn: Mapping[str, Mapping[str, float]] = field(
        default_factory=lambda: {
            "car_racing": {"gymnasium": 166, "exact": 309, "fast": 5060},
            "lunar_lander": {"gymnasium": 465, "exact": 471, "fast": 7620},
            "bipedal_walker": {"gymnasium": 264, "exact": 342, "fast": 3720},
        }
    )  # steps of a task on one core, by renderer
    physics: Mapping[str, float] = field(
        default_factory=lambda: {"car_racing": 13600, "lunar_lander": 10500, "bipedal_walker": 8160}
    )  # steps on one core, not drawn
    agent: float = 2320  # frames through V, M and C on one core, 16 episodes at once
    stored: float = 6850  # frames recorded, compressed and written on one core, besides playing
    vision: float = 761  # images of V's training, on all cores
    memory: float = 58700  # frames of M's training, on all cores
    encode: float = 6240  # frames, read and written, on all cores


RANDOM_EPISODE = {"car_racing": 1000, "lunar_lander": 110, "bipedal_walker": 350}  # steps with random actions
OTHER_TASK = "bipedal_walker"  # stands for a task that was not measured
FLOAT32 = 0.5  # of the default rates of V and M, where bf16 is not used
PROBED = 2300.0  # held-out frames a second through the probes of V or of M, seen once on two cores; float32 in any case
DECODED = 1500.0  # held-out frames a second through V's decoder, likewise
DREAMT = 17_446.0  # steps of a search in dreams of CarRacing a second on one core: README.md, "Speed"
FORECAST = 30_000.0  # steps of M a second in open-loop forecasts, seen once on two cores
STAGE_SECONDS = 2.0  # starting processes, checking files


def stage_seconds(config: Config, workers: int, rates: Rates | None = None) -> dict[str, float]:
    """Seconds of each stage that this config runs, with nothing cached."""
    slowdown = 1.0 if rates or resolve_precision(config.trainer).startswith("bf16") else FLOAT32
    rates = rates or Rates()
    env, search, evaluation, transfer = config.env, config.controller, config.evaluate, config.transfer
    measured_task = env.name in rates.drawn
    name = env.name if measured_task else OTHER_TASK
    drawn, blind = rates.drawn[name], rates.physics[name]
    random_episode = RANDOM_EPISODE.get(name, RANDOM_EPISODE[OTHER_TASK])
    frames_per_step = 1 / env.action_repeat  # of the task's steps

    def task_seconds(renderer: str) -> float:
        """Of a step of the task on one core, its share of a drawing included."""
        if renderer == "auto":
            renderer = "fast" if measured_task and "fast" in drawn else "gymnasium"
        return 1 / blind + frames_per_step * max(0.0, 1 / drawn.get(renderer, drawn["gymnasium"]) - 1 / blind)

    def step_seconds(renderer: str, episodes: int) -> float:
        """Of an agent, on all workers together; a batch that is not full takes as long as a full one."""
        filled = min(1.0, episodes / workers / ROWS)
        return (task_seconds(renderer) + frames_per_step / (rates.agent * slowdown * filled)) / workers

    def collected(data: RolloutsConfig) -> float:
        """Frames of a data set."""
        frames = data.rollouts * min(random_episode, data.max_steps or env.max_steps) * frames_per_step
        return min(frames, data.frames or frames)

    frames = collected(config.collect)
    played = frames if config.collect.recorded is None else 0.0
    heldout_frames = collected(config.heldout) if config.probe.enabled or config.measure.enabled else 0.0
    search_steps = min(search.max_steps or env.max_steps, 2 * random_episode)
    evaluation_steps = evaluation.episodes * min(evaluation.max_steps or 1000, 1000)
    budget = {part: budget_of(transfer, part) for part in ("vision", "memory")}
    memory_frames = config.memory.steps * config.memory.batch_size * config.memory.sequence_length
    episodes = search.population * search.rollouts
    dreamt = sum(place_at(search, generation + 1) == "dream" for generation in range(search.generations))
    searched = episodes * (
        (search.generations - dreamt) * search_steps * step_seconds(env.renderer, episodes)
        + dreamt * (search.max_steps or env.max_steps) * frames_per_step / (DREAMT * workers)
    )
    seconds = {
        "collect": (played + heldout_frames)
        * (task_seconds(env.renderer) / frames_per_step + 1 / rates.stored)
        / workers,
        "vision": budget["vision"] * config.vae.epochs * frames / (rates.vision * slowdown),
        "encode": (frames + heldout_frames) / (rates.encode * slowdown),
        "memory": budget["memory"] * memory_frames / (rates.memory * slowdown),
        "controller": min(searched, 60 * (search.max_minutes or math.inf)),
        "evaluate": evaluation_steps
        * (2 * step_seconds("gymnasium", 2 * evaluation.episodes) + 1 / (blind * workers)),  # mean and best; random
    }
    if config.probe.enabled:
        seconds["vision"] += heldout_frames / PROBED
        seconds["memory"] += heldout_frames / PROBED
    if config.measure.enabled:
        seconds["vision"] += heldout_frames / DECODED
        futures = 3 * max(1, config.measure.samples)  # of M, of M under mismatched actions, and of the reservoir
        seconds["memory"] += heldout_frames / STRIDE * max(HORIZONS) * futures / FORECAST
    stages = STAGES[: STAGES.index(config.last_stage) + 1]
    return {stage: seconds[stage] + STAGE_SECONDS for stage in stages}


def describe_time(name: str, seconds: dict[str, float], workers: int) -> tuple[str, str]:
    """Two lines, as one would be too long for a terminal: ``expected time of car_racing: 4 min on 2 cores if nothing is
    cached``, and ``collect 40 s, …``.
    """
    parts = ", ".join(f"{stage} {duration(value)}" for stage, value in seconds.items())
    total = duration(sum(seconds.values()))
    return f"expected time of {name}: {total} on {number_of(workers, 'core')} if nothing is cached", f"  {parts}"
