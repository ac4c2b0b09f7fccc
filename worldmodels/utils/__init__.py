"""Small helpers that know nothing of world models."""
