"""One compiled emulator for all tests of a session."""

import fcntl
import os
import shutil
import sys

import pytest

from tests.emulator.toolchain import Toolchain


@pytest.fixture(scope="session")
def toolchain(tmp_path_factory):
  if sys.platform != "linux" or shutil.which("g++") is None:
    pytest.skip("the emulator needs Linux and g++")
  # Of processes that test together, the first compiles the emulator for all.
  folder = tmp_path_factory.getbasetemp()
  if "PYTEST_XDIST_WORKER" in os.environ:
    folder = folder.parent
  folder = folder / "emulator"
  folder.mkdir(exist_ok=True)
  with (folder / "lock").open("w") as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    return Toolchain(folder)
