"""What is kept: artifacts by content, the journal of each, finished runs and their results."""
