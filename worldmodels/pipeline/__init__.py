"""The stages in their order, and a job that runs them."""
