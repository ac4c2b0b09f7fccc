"""How good V and M are: probes of the true state, and measures of M beside baselines, on held-out rollouts."""
