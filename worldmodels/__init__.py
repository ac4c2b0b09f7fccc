"""World Models (Ha & Schmidhuber 2018) and transfer between tasks, as a small experiment framework."""

__version__ = "0.1.0"
