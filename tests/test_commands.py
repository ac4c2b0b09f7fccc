"""What the commands refuse before the libraries load: an answer in a second or two, on a busy machine too."""

import subprocess
import sys

import pytest
from helpers import ROOT

HEAVY = ("torch", "lightning", "numba", "cv2", "h5py", "matplotlib")
RUN = f"""
import runpy, sys
code = 0
try:
    runpy.run_module(sys.argv.pop(1), run_name="__main__")
except SystemExit as error:
    code = error.code
print([name for name in {HEAVY} if name in sys.modules])
sys.exit(code)
"""


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("train vae.epoch=3", "vae.epoch"),
        ("train transfer=frozen", "frozen"),
        ("train vae.epochs=0", "vae.epochs=0 is too small"),
        ("train memory.steps=7 memory.validate_every=3", "a divisor of 7"),
        ("train transfer=pretrained transfer.source_env=pong", "env/pong"),
        ("train transfer=pretrained transfer.source_run=nowhere", "nowhere is no run"),
        ("evaluate run=nowhere", "nowhere is no run"),
        ("evaluate run=nowhere episodes=0", "episodes=0 is too small"),
        ("dream run=nowhere", "nowhere is no run"),
        ("dream run=nowhere temperature=hot", "temperature=hot is no number"),
        ("probe run=nowhere", "nowhere is no run"),
        ("probe run=nowhere scored=2", "scored=2.0 is out of range"),
        ("report runs=[]", "is no pattern"),
        ("report runs=nowhere", "matches no finished run"),
        ("benchmark device=tpu", "device=tpu is unknown"),
    ],
)
def test_nonsense_is_refused_before_the_libraries_load(arguments, told, tmp_path):
    command, *overrides = arguments.split()
    overrides.append(f"hydra.run.dir={tmp_path / 'run'}")
    process = subprocess.run(
        [sys.executable, "-c", RUN, f"worldmodels.{command}", *overrides],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert process.returncode == 2, process.stderr
    assert process.stdout.splitlines()[-1] == "[]"
    (line,) = process.stderr.splitlines()
    assert line.startswith("error: ") and told in line
    assert not (tmp_path / "run").exists()
