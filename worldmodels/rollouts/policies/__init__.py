"""Random policies, for collecting and for comparison, a file each."""
