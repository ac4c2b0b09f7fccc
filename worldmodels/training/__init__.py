"""Training V and M with Lightning, on the hardware there is."""
