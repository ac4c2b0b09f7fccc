"""Workers follow a container's quota, not the cores of its host."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import ROOT

from worldmodels.utils.cores import usable_cores

QUOTAS = {  # files of a container's control group, and the cores that they leave
    "v2": ({"cpu.max": "50000 100000"}, 1),
    "v2, none": ({"cpu.max": "max 100000"}, None),
    "v2, of more than there are": ({"cpu.max": "99900000 100000"}, None),
    "v1": ({"cpu/cpu.cfs_quota_us": "100000", "cpu/cpu.cfs_period_us": "100000"}, 1),
    "v1, none": ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
}
SCRIPT = """
import subprocess, sys
from worldmodels.utils.cores import usable_cores
for folder in sys.argv[1:]:
    subprocess.run(["mount", "--bind", folder, "/sys/fs/cgroup"], check=True)
    print(usable_cores())
    subprocess.run(["umount", "/sys/fs/cgroup"], check=True)
"""
UNSHARED = ["unshare", "--mount", "--map-root-user"]


def may_mount() -> bool:
    """Whether this user may have mounts of its own, which nobody else sees."""
    if not shutil.which("unshare") or not Path("/sys/fs/cgroup").is_dir():
        return False
    ask = [*UNSHARED, "mount", "--bind", "/tmp", "/sys/fs/cgroup"]
    return subprocess.run(ask, capture_output=True, check=False).returncode == 0


def test_a_process_uses_the_cores_that_it_may_run_on() -> None:
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("this system ties no process to cores")
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert usable_cores() == 1
    finally:
        os.sched_setaffinity(0, before)
    assert 1 <= usable_cores() <= len(before)


@pytest.mark.skipif(not may_mount(), reason="needs unshare, to have mounts of its own")
def test_a_quota_of_cpu_time_limits_the_cores(tmp_path: Path) -> None:
    folders = []
    for name, (files, _) in QUOTAS.items():
        for file, text in files.items():
            path = tmp_path / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{text}\n")
        folders.append(str(tmp_path / name))
    environment = {name: value for name, value in os.environ.items() if name != "LOKY_MAX_CPU_COUNT"}
    done = subprocess.run(
        [*UNSHARED, sys.executable, "-c", SCRIPT, *folders],
        env={**environment, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    cores = len(os.sched_getaffinity(0))
    expected = [cores if most is None else min(cores, most) for _, most in QUOTAS.values()]
    assert list(map(int, done.stdout.split())) == expected
