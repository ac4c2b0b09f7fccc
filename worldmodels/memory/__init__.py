"""M: predicts the next latent z from the latent, the action and its own hidden state."""
