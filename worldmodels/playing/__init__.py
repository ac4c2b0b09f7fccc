"""A person in the dream: the page of ``python -m worldmodels.play``, live or in a file of its own."""
