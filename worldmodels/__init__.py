"""World Models (Ha & Schmidhuber 2018) and transfer between tasks, as a small experiment framework."""

import gymnasium

__version__ = "0.1.0"

# By name only: nothing of ours is imported before somebody makes one.
gymnasium.register(
    "worldmodels/Dream-v0",
    entry_point="worldmodels.dreams.env:DreamEnv",
    vector_entry_point="worldmodels.dreams.env:DreamVectorEnv",
)
