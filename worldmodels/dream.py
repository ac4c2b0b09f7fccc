"""``python -m worldmodels.dream``: roll M forward without the environment and watch what it dreams, beside reality."""

from dataclasses import dataclass

from omegaconf import MISSING, DictConfig

from worldmodels.cli import command, prepare_process
from worldmodels.config import require, require_at_least


@dataclass
class DreamCommand:
    """Schema of ``conf/dream.yaml``."""

    run: str = MISSING
    temperature: float = 1.0
    steps: int = 200
    context: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        require_at_least("temperature", self.temperature, 0.001)
        require_at_least("context", self.context, 1)
        require_at_least("seed", self.seed, 0)
        require(
            self.steps > self.context, f"steps={self.steps} ends within context={self.context}: expected more steps"
        )


def dream(composed: DictConfig) -> None:
    """Collect one episode anew, dream under its actions, and write ``dream.mp4`` and ``dream.gif``."""
    from pathlib import Path

    import torch
    from hydra.core.hydra_config import HydraConfig
    from rich.console import Console

    from worldmodels import media
    from worldmodels.config import to_config
    from worldmodels.envs import make_env, task_spec
    from worldmodels.memory.dream import dream_under
    from worldmodels.parts import make_memory, make_vision
    from worldmodels.rollouts.engine import Episode, Items, play
    from worldmodels.rollouts.policies import RandomPlayers, random_policy
    from worldmodels.runs import FinishedRun
    from worldmodels.seeds import episode_seed, generator, torch_generator
    from worldmodels.vision.pixels import to_pixels, to_unit

    request = to_config(composed)
    prepare_process()
    run = FinishedRun(Path(request.run))
    config = run.config
    spec = task_spec(config.env)
    policy = random_policy(config.collect, spec, generator(request.seed, "figures", 0))
    episode = Items(iter([Episode("dream", episode_seed(request.seed, "figures", 1), policy)]))
    players = RandomPlayers(1, lambda policy: policy)
    [(_, played)] = play(episode, lambda: make_env(config.env, max_steps=request.steps), players, 1, record=True)
    rollout = played.rollout
    assert rollout is not None
    vision = make_vision(config, run.vision.weights).eval()
    memory = make_memory(config, spec.action_size, run.memory.weights).eval()
    with torch.inference_mode():
        z = vision.encode(to_unit(torch.from_numpy(rollout.frames))).mu
        dreamt = dream_under(
            memory,
            z[None],
            torch.from_numpy(rollout.actions)[None],
            min(request.context, len(z)),
            request.temperature,
            torch_generator(request.seed, "figures", 2),
        )[0]
        seen, imagined = (to_pixels(vision.decode(latents)).numpy() for latents in (z, dreamt))
    frames = [media.beside(three, height=192) for three in zip(rollout.frames, seen, imagined, strict=True)]
    folder = Path(HydraConfig.get().runtime.output_dir)
    media.write_mp4(folder / "dream.mp4", frames, round(spec.fps))
    (folder / "dream.gif").write_bytes(media.gif_bytes(frames, spec.fps))
    console = Console()
    console.print(f"{len(frames)} frames; left the task, then V's reconstruction, then the dream")
    console.print(f"results: {folder / 'dream.mp4'}", soft_wrap=True)


if __name__ == "__main__":
    command("dream", dream, "dream_schema", DreamCommand)
