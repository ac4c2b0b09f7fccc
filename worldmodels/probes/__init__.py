"""Probes: how much of a task's true state V and M carry, on rollouts that neither has seen."""
