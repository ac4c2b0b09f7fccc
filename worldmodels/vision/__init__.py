"""V: compresses a 64×64 frame into a latent z. CVAE here means *convolutional* VAE."""
