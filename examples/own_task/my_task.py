"""A Gymnasium environment of one's own, registered as ``Mine-v0``: catch what falls.

A ball falls straight down, and a paddle at the bottom moves left, stays, or moves right. Nothing here knows of
worldmodels: any environment will do that draws itself, or observes pictures.
"""

from typing import Any

import gymnasium
import numpy as np

HEIGHT, WIDTH = 60, 48  # of the picture; worldmodels scales it to 64×64
BALL, PADDLE = 4, 10
SKY, RED, WHITE = (20, 30, 60), (230, 60, 50), (240, 240, 240)


class Catch(gymnasium.Env[np.ndarray, int]):
    """A caught ball pays 1, a lost one -1; an episode has five balls. Observes the ball's place and the paddle's."""

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 15}  # noqa: RUF012 - Gymnasium's way

    def __init__(self, render_mode: str | None = None, balls: int = 5) -> None:
        assert balls >= 1, f"balls={balls} leaves nothing to catch"
        self.render_mode, self.balls = render_mode, balls
        self.action_space = gymnasium.spaces.Discrete(3)
        self.observation_space = gymnasium.spaces.Box(0, 1, (3,), np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.paddle, self.fallen = WIDTH // 2, 0
        self._drop()
        return self._observe(), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.paddle = int(np.clip(self.paddle + 3 * (action - 1), PADDLE // 2, WIDTH - PADDLE // 2))
        self.y += 3
        reward = 0.0
        if self.y >= HEIGHT - BALL:
            reward = 1.0 if abs(self.x - self.paddle) <= PADDLE // 2 else -1.0
            self.fallen += 1
            self._drop()
        return self._observe(), reward, self.fallen >= self.balls, False, {}

    def render(self) -> np.ndarray:  # type: ignore[override]
        picture = np.full((HEIGHT, WIDTH, 3), SKY, np.uint8)
        picture[self.y : self.y + BALL, max(self.x - BALL // 2, 0) : self.x + BALL // 2] = RED
        picture[-2:, self.paddle - PADDLE // 2 : self.paddle + PADDLE // 2] = WHITE
        return picture

    def _drop(self) -> None:
        self.x, self.y = int(self.np_random.integers(BALL, WIDTH - BALL)), 0

    def _observe(self) -> np.ndarray:
        return np.array([self.x / WIDTH, self.y / HEIGHT, self.paddle / WIDTH], np.float32)


gymnasium.register("Mine-v0", Catch)
