"""Standard streams that cannot fail a command."""

import io
import os
import subprocess
import sys

import pytest
from helpers import ROOT

from worldmodels.utils import streams


def stream(descriptor, encoding):
    """As Python opens standard output."""
    raw = io.FileIO(descriptor, "w", closefd=False)
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding, "strict", line_buffering=True)


@pytest.mark.parametrize(
    ("encoding", "shown"), [("ascii", b"a ? b ?\n"), ("latin-1", b"a ? b \xb1\n"), ("utf-8", None)]
)
def test_what_cannot_be_shown_is_replaced(encoding, shown):
    reader, writer = os.pipe()
    print("a → b ±", file=streams._lasting(stream(writer, encoding)), flush=True)
    assert os.read(reader, 100) == (shown or "a → b ±\n".encode())


def test_a_reader_that_is_gone_stops_nothing():
    reader, writer = os.pipe()
    lasting = streams._lasting(stream(writer, "utf-8"))
    print("read", file=lasting)
    assert os.read(reader, 100) == b"read\n"
    os.close(reader)
    for _ in range(3):
        print("x" * 100_000, file=lasting)
    os.write(writer, b"nor does a process of ours that has the same descriptor")


CLOSED = """
import os, sys
from worldmodels.utils import streams
streams.prepare()
print("lost"), print("lost", file=sys.stderr), sys.stdin.read()
file = open("data", "w+")
os.write(2, b"a library's complaint")
sys.exit(sys.stderr.isatty() or file.read() != "")
"""


@pytest.mark.parametrize("closed", ["0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-"])
def test_a_stream_that_is_closed_is_the_null_device_and_no_file_of_ours(closed, tmp_path):
    command = ["sh", "-c", f'"$0" -c "$1" {closed}', sys.executable, CLOSED]
    assert (
        subprocess.run(command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False).returncode == 0
    )
    assert (tmp_path / "data").read_text() == ""


UTF8 = """
import os, sys
from worldmodels.utils import streams
streams.use_utf8()
print(sys.flags.utf8_mode, sys.getfilesystemencoding(), os.path.basename(os.getcwd()), sys.argv[1])
"""


def test_a_command_in_another_locale_starts_again_in_utf8(tmp_path):
    folder = tmp_path / "dössier"
    folder.mkdir()
    locale = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C", "PYTHONPATH": str(ROOT)}
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONIOENCODING"} | locale
    command = [sys.executable, "-c", UTF8, "größer"]
    printed = subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=True).stdout
    assert printed.decode() == "1 utf-8 dössier größer\n"
