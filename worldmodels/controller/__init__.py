"""C: a linear map from what V and M see and remember to actions, found by an evolution strategy."""
