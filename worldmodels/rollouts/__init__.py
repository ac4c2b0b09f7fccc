"""Rollouts: policies, episodes, storage, and the processes that run them."""
