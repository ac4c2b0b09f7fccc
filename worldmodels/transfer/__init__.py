"""Transfer between tasks: which weights start from a source, and which stay as they are."""
