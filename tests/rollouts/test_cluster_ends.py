"""Commands on a Ray cluster of their own that ends, or that is interrupted."""

import os
import re
import signal
import subprocess
import sys
import time
from typing import Any

import pytest
from processes import family, named

from worldmodels.utils.orphans import alive


@pytest.fixture
def run(tmp_path):
    """A command that plays on a cluster of its own, in a process group of its own."""
    pytest.importorskip("ray", reason="needs the extra ray")
    command = [sys.executable, "-m", "worldmodels.train", "env=lunar_lander", "scale=smoke", "stage=collect"]
    command += ["executor=ray", "executor.workers=1", "collect.frames=null", "collect.rollouts=100000", "logger=none"]
    command += [f"paths.outputs={tmp_path}"]
    streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(command, start_new_session=True, **streams) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if re.search(r"\d of \d+ frames", line):
                    break
            yield process
        finally:
            process.kill()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("process", "part"), [("gcs_server", "its head"), ("raylet/raylet", "its node on this machine")]
)
def test_a_cluster_that_is_gone_ends_the_command_in_a_line(run, process, part):
    [found] = named(run.pid, process)
    os.kill(found, signal.SIGKILL)
    printed, _ = run.communicate(timeout=120)
    assert f"error: the Ray cluster has lost {part}, which answers no more" in printed
    assert "Traceback" not in printed
    assert run.returncode == 1


@pytest.mark.slow
def test_ctrl_c_ends_a_run_on_a_cluster_and_the_cluster(run):
    everything = list(family(run.pid))
    os.killpg(run.pid, signal.SIGINT)
    printed, _ = run.communicate(timeout=60)
    assert "interrupted: " in printed
    assert "Traceback" not in printed
    assert run.returncode == 130
    deadline = time.monotonic() + 30
    while any(map(alive, everything)):
        assert time.monotonic() < deadline
        time.sleep(0.1)
