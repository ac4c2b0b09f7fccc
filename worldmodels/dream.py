"""``python -m worldmodels.dream``: roll M forward without the environment and watch what it dreams, beside reality."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import MISSING, DictConfig

from worldmodels.cli import command, prepare_process
from worldmodels.config import to_config
from worldmodels.store.runs import FinishedRun
from worldmodels.utils.checks import require, require_at_least
from worldmodels.utils.words import number_of

HORIZONS = (10, 50, 100)  # dreamt frames after which the distance from reality is told
PICTURE, GIF_PICTURE = 192, 100  # height of a frame
GIF_COLOURS = 64
SCORED = 16  # dreams that score the run's controller, at each temperature


@dataclass
class DreamCommand:
    """Schema of ``conf/dream.yaml``."""

    run: str = MISSING
    temperature: Any = field(default_factory=lambda: [0.5, 1.0, 1.3])
    steps: int = 200
    context: int = 10
    speed: float = 0.25
    gif_fps: float = 6.0
    seed: int = 0
    allow: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        require(bool(self.temperatures), "temperature=[] is empty: expected a number, or a list like [0.5,1.0]")
        for temperature in self.temperatures:
            require_at_least("temperature", temperature, 0.001)
        require_at_least("context", self.context, 1)
        require_at_least("speed", self.speed, 0.01)
        require_at_least("gif_fps", self.gif_fps, 0.1)
        require_at_least("seed", self.seed, 0)
        require(
            self.steps > self.context, f"steps={self.steps} ends within context={self.context}: expected more steps"
        )

    @property
    def temperatures(self) -> list[float]:
        """One for each dream."""
        temperatures = self.temperature if isinstance(self.temperature, list) else [self.temperature]
        for value in temperatures:
            require(
                isinstance(value, int | float) and not isinstance(value, bool),
                f"temperature={value} is no number: expected one, or a list like [0.5,1.0]",
            )
        return [float(value) for value in temperatures]


def dream(composed: DictConfig) -> None:
    """Collect one episode anew, dream under its actions, and write ``dream.mp4`` and ``dream.gif``."""
    request = to_config(composed)
    run = FinishedRun(Path(request.run), request.allow)

    # What takes long to import waits until the request has been checked.
    import torch
    from hydra.core.hydra_config import HydraConfig
    from safetensors.numpy import load_file

    from worldmodels.controller.policy import agent_parameters
    from worldmodels.dreams.core import DreamModel
    from worldmodels.dreams.film import Column, film
    from worldmodels.dreams.reality import real_episode
    from worldmodels.dreams.returns import dream_returns
    from worldmodels.dreams.unroll import dream_under, drift
    from worldmodels.envs import task_spec
    from worldmodels.factory import make_memory, make_vision, require_decoder
    from worldmodels.memory.interface import heads_of
    from worldmodels.utils import media
    from worldmodels.utils.console import make_console
    from worldmodels.utils.disk import writing
    from worldmodels.utils.files import write_bytes, write_json
    from worldmodels.utils.seeds import torch_generator
    from worldmodels.vision.scaling import to_pixels, to_unit

    prepare_process()
    config = run.config
    spec = task_spec(config.env)
    memory = make_memory(config, spec.action_size, run.memory.weights).eval()
    vision = make_vision(config, require_decoder(run.vision.weights)).eval()
    rollout = real_episode(run, request.seed, request.steps)
    context = min(request.context, len(rollout.frames))
    columns, drifts = [Column("reality\nthe task itself", rollout.frames, False)], []
    with torch.inference_mode():
        z, log_var = vision.encode(to_unit(torch.from_numpy(rollout.frames)))
        sigma = float(log_var.exp().mean().sqrt())
        actions = torch.from_numpy(rollout.actions)
        columns.append(Column("V\nreconstruction", to_pixels(vision.decode(z)).numpy(), False))
        for temperature in request.temperatures:
            rng = torch_generator(request.seed, "figures", 2)
            dreamt = dream_under(memory, z[None], actions[None], context, temperature, rng)[0]
            pictures = to_pixels(vision.decode(dreamt)).numpy()
            columns.append(Column(f"dream\ntemperature {temperature:g}", pictures, True))
            drifts.append(drift(memory, z, actions, context, temperature, HORIZONS, rng))
    folder = Path(HydraConfig.get().runtime.output_dir)
    frames = list(film(columns, context, PICTURE))
    every = max(1, round(spec.fps / request.gif_fps))
    small = list(film(columns, context, GIF_PICTURE, every))
    with writing("a dream", folder):
        write_bytes(folder / "dream.gif", media.gif_bytes(small, spec.fps / every, GIF_COLOURS))
    console = make_console()
    console.print(f"{number_of(len(frames), 'frame')}: the task, V's reconstruction, and a dream for each τ")
    console.print(
        f"root mean squared error of the latents after {', '.join(map(str, HORIZONS))} dreamt frames (–: not reached)",
        soft_wrap=True,
    )
    lines = {"last real frame held": [x and x.persistence for x in drifts[0]]}
    lines["z drawn as M learnt it"] = [x and sigma for x in drifts[0]]  # from N(μ, σ²): a dream has σ in it too
    for temperature, errors in zip(request.temperatures, drifts, strict=True):
        lines[f"dream, τ = {temperature:g}"] = [x and x.dream for x in errors]
    for name, errors in lines.items():
        console.print(f"  {name:<24}", *("   –" if error is None else f"{error:.2f}" for error in errors), sep="  ")
    facts = {"run": str(run.folder.resolve()), "env": config.env.name, "seed": request.seed}
    figures: dict[str, Any] = {**facts, "horizons": HORIZONS, "latent_error": lines}
    scored = heads_of(memory).reward is not None or config.env.step_reward is not None
    if "controller" in run.results["stages"] and scored:
        model, controllers = DreamModel.of(run), agent_parameters(load_file(run.controller.weights))[None]
        seeds = range(request.seed, request.seed + SCORED)
        console.print(f"return of the run's C in {SCORED} dreams, mean ± standard deviation")
        figures["returns"] = {}
        for temperature in request.temperatures:
            returns = dream_returns(model, controllers, seeds, temperature=temperature)
            figures["returns"][f"{temperature:g}"] = returns[0].tolist()
            console.print(f"  {f'dream, τ = {temperature:g}':<24}  {returns.mean():.1f} ± {returns.std(ddof=1):.1f}")
    with writing("a dream", folder):
        write_json(folder / "dream.json", figures)
    fps = spec.fps * request.speed
    media.write_mp4(folder / "dream.mp4", frames, fps)  # last: all else is there where ffmpeg fails
    pace = "the task's speed" if request.speed == 1 else f"{request.speed:g} × the task's speed, which speed=1 is"
    console.print(f"the film: {number_of(len(frames), 'frame')} in {len(frames) / fps:.1f} s, {pace}", soft_wrap=True)
    console.print(f"results: {folder / 'dream.mp4'}, and the figures in dream.json", soft_wrap=True)


if __name__ == "__main__":
    command("dream", dream, "dream_schema", DreamCommand)
