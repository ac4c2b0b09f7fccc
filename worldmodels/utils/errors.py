"""The two kinds of failure a user can act on without reading a traceback."""

CHANGES_RESULTS = False


class ConfigError(ValueError):
    """The request makes no sense. The message is one line: what was got, what was expected, the fix. Exit code 2."""


class DamagedFile(RuntimeError):
    """A file of the artifact store cannot be read. The same command builds it anew. Exit code
    1.
    """


class TrainingDiverged(RuntimeError):
    """Numbers that are not finite. The message is one line that names the place and the likely setting. Exit code 1."""
