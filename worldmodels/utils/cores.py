"""The processor's cores."""


def usable_cores() -> int:
    """CPU cores this process may use: of the machine's those it may run on, and no more than a container's quota of CPU
    time is worth (cgroup v1 and v2, rounded up), or ``LOKY_MAX_CPU_COUNT``.
    """
    from joblib import cpu_count  # only now, as it takes a moment to import

    return cpu_count()
