"""C: a linear map from what V and M see and remember to actions, or a small network, found by an evolution strategy."""
