"""One compiled emulator for all tests of a session."""

import shutil
import sys

import pytest

from tests.emulator.toolchain import Toolchain


@pytest.fixture(scope="session")
def toolchain(tmp_path_factory):
  if sys.platform != "linux" or shutil.which("g++") is None:
    pytest.skip("the emulator needs Linux and g++")
  return Toolchain(tmp_path_factory.mktemp("emulator"))
