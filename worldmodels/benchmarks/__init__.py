"""What `worldmodels.benchmark` measures: each rate beside its reference, alternately and in the same process."""
