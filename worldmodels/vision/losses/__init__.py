"""The losses of V, a file each."""
