"""A person in the dream: the page of ``python -m worldmodels.play``, live or in a file of its own."""

CHANGES_RESULTS = False
COLDEST, HOTTEST = 0.05, 3.0  # temperatures that the page's slider reaches
SLOWEST = 0.1  # speed that its other slider reaches, the task's own being 1
LARGEST_SEED = 2**32 - 1
