"""The README's film: ``python docs/film.py RUN [--seed 3] [--to FILE]``, RUN a run with V's decoder.

Left: the agent in the task. Right: the same agent in its dream, which begins after some frames of the task: C acts on
[z, h], M answers with the next z, V's decoder draws it.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw

import worldmodels as wm
from worldmodels.controller.agent import controller_shape
from worldmodels.controller.policy import Controllers
from worldmodels.envs import task_spec
from worldmodels.memory.mixture import sample

SIDE = 192  # pixels
LONGEST = 380  # frames
FRAMES_A_SECOND = 15
TEMPERATURE = 0.5


def episode(run: wm.Run, seed: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Frames (64, 64, 3) that the agent saw, and the actions it took."""
    settings = run.config.env
    env = wm.make_env(settings.name, f"env.action_repeat={settings.action_repeat}", "env.renderer=gymnasium")
    agent = run.agent()
    agent.reset()
    frame, _ = env.reset(seed=seed)
    frames, actions = [], []
    while len(frames) < LONGEST:
        frames.append(frame)
        actions.append(agent.act(frame))
        frame, _, terminated, truncated, _ = env.step(actions[-1])
        if terminated or truncated:
            break
    env.close()
    return frames, actions


@torch.inference_mode()
def dream(run: wm.Run, frames: list[np.ndarray], actions: list[np.ndarray], steps: int) -> np.ndarray:
    """The agent in M alone, after these frames: (steps, 64, 64, 3)."""
    vision, memory, spec = run.vision, run.memory, task_spec(run.config.env)
    controllers = Controllers(1, controller_shape(run.config, spec.outputs))
    controllers.set(0, run.controller.agent)
    generator = torch.Generator().manual_seed(0)
    latents = vision.encode(np.stack(frames)).mu
    state = memory.initial_state(1)
    for z, action in zip(latents, actions, strict=True):
        state = memory.step(z[None], torch.from_numpy(action)[None], state)
    z, dreamt = latents[-1:], []
    for _ in range(steps):
        z = sample(memory.mixture(state.h, z), TEMPERATURE, generator)
        dreamt.append(z)
        outputs = controllers([0], torch.cat([z, state.h], 1).double().numpy())
        state = memory.step(z, torch.from_numpy(spec.actions.decide(outputs)), state)
    return vision.decode(torch.cat(dreamt))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--first", type=int, default=40, help="frames of the task before the film, and the dream")
    parser.add_argument("--every", type=int, default=3, help="frames from one picture to the next")
    parser.add_argument("--to", type=Path, default=Path(__file__).parent / "images" / "car_racing.webp")
    chosen = parser.parse_args()
    run = wm.load(chosen.run)
    frames, actions = episode(run, chosen.seed)
    first = chosen.first
    dreamt = dream(run, frames[:first], actions[:first], len(frames) - first)
    pictures = []
    for seen, imagined in list(zip(frames[first:], dreamt, strict=True))[:: chosen.every]:
        picture = Image.new("RGB", (2 * SIDE + 4, SIDE + 18), "white")
        for place, (name, frame) in enumerate({"the task, as the agent sees it": seen, "its dream": imagined}.items()):
            left = place * (SIDE + 4)
            picture.paste(Image.fromarray(frame).resize((SIDE, SIDE), Image.Resampling.NEAREST), (left, 18))
            ImageDraw.Draw(picture).text((left + 4, 3), name, fill="black")
        pictures.append(picture)
    chosen.to.parent.mkdir(parents=True, exist_ok=True)
    pictures[0].save(
        chosen.to,
        save_all=True,
        append_images=pictures[1:],
        duration=1000 // FRAMES_A_SECOND,
        loop=0,
        quality=35,
        method=6,
    )


if __name__ == "__main__":
    main()
