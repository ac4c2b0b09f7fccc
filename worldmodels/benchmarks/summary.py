"""All measurements of a machine, as JSON and as tables."""

import contextlib
import dataclasses
import platform
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import torch
from rich.table import Table

from worldmodels.benchmarks.agents import rollouts
from worldmodels.benchmarks.models import data, encoding, memory_training, vision_training
from worldmodels.benchmarks.rendering import renderers
from worldmodels.config import Config
from worldmodels.envs import TASKS
from worldmodels.envs.renderers import RENDERERS
from worldmodels.pipeline.estimate import Rates, stage_seconds
from worldmodels.rollouts.executor import SerialExecutor, one_thread
from worldmodels.training.hardware import device, resolve_precision
from worldmodels.utils.cores import usable_cores
from worldmodels.utils.progress import duration

SCALES = ("smoke", "sweep", "quick", "hour", "day", "laptop", "paper")
FAST_GOALS = {"car_racing": 20.0, "lunar_lander": 10.0, "bipedal_walker": 10.0}
EXACT_GOALS = {"car_racing": 1.5}


@dataclass(frozen=True)
class Figure:
    """A rate, its reference's in the same run, the ratio that is asked for, and the rate that cannot be passed."""

    name: str
    unit: str
    rate: float
    reference: float | None = None
    goal: float | None = None  # of the ratio; of the rate where there is no reference
    ceiling: float | None = None

    @property
    def ratio(self) -> float | None:
        return self.rate / self.reference if self.reference else None

    @property
    def reached(self) -> bool | None:
        if self.goal is None:
            return None
        return (self.ratio or self.rate) >= self.goal


def measure(
    config: Callable[..., Config], workers: int, folder: Path, say: Callable[[str], None], more: Sequence[str] = ()
) -> dict[str, Any]:
    """Everything, as JSON. ``config`` composes overrides; ``folder`` is for files; ``say`` is told of each step.
    ``more``: options of ``env`` to draw and to tell the time of beside our tasks.
    """
    chosen = {config(f"env={task}").env.name: task for task in (*TASKS, *more)}  # options, by the names of tasks
    figures: list[Figure] = []
    drawn: dict[str, dict[str, float]] = {}
    for task, option in chosen.items():
        say(f"drawing: {task}")
        drawn[task] = rates = renderers(config(f"env={option}"))
        stock, physics = rates["gymnasium"], rates["physics"]
        for name, goals in (("fast", FAST_GOALS), ("exact", EXACT_GOALS)):
            if name in rates:
                figures.append(Figure(f"{task}, {name}", "steps/s", rates[name], stock, goals.get(task), physics))
        if "fast" not in rates:
            figures.append(Figure(f"{task}, its own drawing", "steps/s", stock, ceiling=physics))

    say("rollouts: car_racing")
    heads = ["memory.network.reward_head=gaussian", "memory.network.end_head=true"]
    base = config("collect.policy=sticky", "controller.phases=[]", *heads)  # an agent of all three parts
    agent = rollouts(base, folder / "agent", workers)
    core = 1 / (1 / drawn["car_racing"]["physics"] + 1 / agent["encoder"])
    figures.append(Figure("agent on car_racing, one core", "steps/s", agent["one"], agent["reference"], 10, core))
    figures.append(Figure("C in dreams of car_racing, one core", "steps/s", agent["dream"], agent["one"], 10))
    figures.append(Figure(f"agent, {workers} workers : 1", "steps/s", agent["workers"], agent["worker"], 0.9 * workers))
    if "ray" in agent:
        name = f"agent, {workers} workers on Ray : processes"
        figures.append(Figure(name, "steps/s", agent["ray"], agent["processes"], 0.9))

    say("data: collect and encode")
    sizes = ["collect.rollouts=8", "collect.max_steps=250", "vae.batch_size=100", "collect.frames=null"]
    small = config(*sizes, "collect.policy=sticky", "memory.batch_size=100", "memory.sequence_length=100")
    with contextlib.closing(SerialExecutor()) as executor:
        dataset, collected = data(small, folder / "dataset", executor)
    encoded = folder / "encoded"
    on_cpu = dataclasses.replace(small, trainer=dataclasses.replace(small.trainer, accelerator="cpu"))
    with one_thread():
        encoded_by_one = encoding(on_cpu, dataset, encoded)
    encode_rate = encoding(small, dataset, encoded)
    figures.append(Figure("collect car_racing, one core", "frames/s", collected, ceiling=drawn["car_racing"]["fast"]))
    figures.append(Figure("encode, one core", "frames/s", encoded_by_one, None, 3000, agent["encoder"]))

    steps = 14 if device(small.trainer).type == "cpu" else 200
    say("training: V")
    vision = vision_training(small, dataset, steps=steps)
    figures.append(Figure("V, training", "images/s", vision["ours"], vision["reference"], 2))
    figures.append(Figure("V, data alone : training", "images/s", vision["data"], vision["ours"], 10))
    say("training: M")
    memory = memory_training(small, encoded, steps=steps)
    figures.append(Figure("M, training", "frames/s", memory["ours"], memory["reference"], 1.5))
    figures.append(Figure("M, data alone : training", "frames/s", memory["data"], memory["ours"], 10))

    fast = drawn["car_racing"]["fast"]
    rates = Rates(
        drawn={task: {name: rates[name] for name in RENDERERS if name in rates} for task, rates in drawn.items()},
        physics={task: rates["physics"] for task, rates in drawn.items()},
        agent=_without(agent["one"], fast),
        stored=_without(collected, fast),
        vision=vision["ours"],
        memory=memory["ours"],
        encode=encode_rate,
    )
    estimates = {
        scale: {
            task: stage_seconds(config(f"env={option}", f"scale={scale}"), workers, rates)
            for task, option in chosen.items()
        }
        for scale in SCALES
    }
    return {
        "machine": _machine(small, workers),
        "figures": [{**vars(figure), "ratio": figure.ratio, "met": figure.reached} for figure in figures],
        "rates": dataclasses.asdict(rates),
        "estimates": estimates,
    }


def _without(rate: float, part: float) -> float:
    """The rate of what is left of a task when a part of it, done at rate ``part``, costs nothing."""
    return 1 / max(1 / rate - 1 / part, 1e-6)


def tables(measured: Mapping[str, Any]) -> list[Table]:
    """What `measure` found, for people."""
    machine = measured["machine"]
    rates = Table(
        title=f"{machine['processor']}, {machine['cores']} cores, {machine['device']}, {machine['precision']}"
    )
    rates.add_column("what")
    for name in ("rate", "reference", "ratio", "goal", "of ceiling"):
        rates.add_column(name, justify="right")
    for figure in measured["figures"]:
        ratio, goal, ceiling = figure["ratio"], figure["goal"], figure["ceiling"]
        rates.add_row(
            figure["name"],
            f"{figure['rate']:,.0f} {figure['unit']}",
            f"{figure['reference']:,.0f}" if figure["reference"] else "",
            f"{ratio:.1f}×" if ratio else "",
            "" if goal is None else f"{goal:g}{'×' if ratio else ''} {'met' if figure['met'] else 'MISSED'}",
            f"{figure['rate'] / ceiling:.0%}" if ceiling else "",
        )
    times = Table(title="expected time with nothing cached")
    times.add_column("scale")
    for task in measured["rates"]["drawn"]:
        times.add_column(task, justify="right")
    for scale, tasks in measured["estimates"].items():
        times.add_row(scale, *(duration(sum(tasks[task].values())) for task in measured["rates"]["drawn"]))
    return [rates, times]


def _machine(config: Config, workers: int) -> dict[str, Any]:
    where = device(config.trainer)
    return {
        "processor": _processor(),
        "cores": usable_cores(),
        "workers": workers,
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name() if where.type == "cuda" else "cpu",
        "precision": resolve_precision(config.trainer),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "gymnasium": gymnasium.__version__,
        "system": platform.system(),
    }


def _processor() -> str:
    """The processor's name, where the system tells it."""
    info = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*: (.+)", info.read_text(encoding="utf-8")) if info.exists() else []
    return names[0] if names else platform.processor() or platform.machine()
