"""What libraries say where nothing can be written, and what people are told."""

import errno
import os
import resource
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from worldmodels.utils.disk import trouble, writing
from worldmodels.utils.errors import Failure

LIMIT = 10_000  # bytes of a file


@pytest.fixture
def no_room():
    """No file may grow beyond `LIMIT`, which is the nearest to a full disk that needs no privilege."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def write_hdf5(path):
    with h5py.File(path, "w") as file:
        file["x"] = np.ones(100_000)


@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.write_bytes(bytes(100_000)),
        write_hdf5,
        lambda path: torch.save(torch.ones(100_000), path),
        lambda path: save_file({"x": np.ones(100_000)}, path),
    ],
    ids=["python", "hdf5", "torch", "safetensors"],
)
def test_that_there_is_no_room_is_told_in_a_line_whoever_writes(write, no_room, tmp_path):
    with pytest.raises(Failure) as raised, writing("the weights", tmp_path):
        write(tmp_path / "weights")
    line = str(raised.value)
    assert line.startswith(f"the weights could not be written to {tmp_path}")
    assert "\n" not in line and "make room, and the same command goes on" in line


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EIO])
def test_the_system_s_reason_and_the_file_are_told(code):
    with pytest.raises(Failure, match=os.strerror(code)) as raised, writing("it", Path("/some")):
        raise OSError(code, os.strerror(code), "/some/file")
    assert "/some/file" in str(raised.value)


def test_a_copy_that_fails_is_told_by_where_it_was_going():
    error = OSError(errno.ENOSPC, "No space left on device", "/from", None, "/to")
    assert trouble(error) == ("No space left on device", "/to")


def test_the_error_behind_an_error_counts():
    with pytest.raises(Failure), writing("it", Path()):
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError:
            raise ValueError("cannot close") from None


@pytest.mark.parametrize("error", [ValueError("no"), OSError(errno.ENOENT, "No such file"), KeyError("x")])
def test_other_errors_are_left_as_they_are(error):
    assert trouble(error) is None
    with pytest.raises(type(error)), writing("it", Path()):
        raise error


def test_what_is_written_deepest_is_what_is_told():
    with pytest.raises(Failure, match=r"^the inner"), writing("the outer", Path()), writing("the inner", Path()):
        raise OSError(errno.ENOSPC, "No space left on device")
