"""Processes without GPUs, fresh for every test."""

import pytest

from tests.symmetric_memory.fake_processes import FakeProcess, Processes


@pytest.fixture
def process(monkeypatch) -> FakeProcess:
  """This process, with as many fake GPUs as one likes."""
  return Processes(1, monkeypatch).members[0]


@pytest.fixture
def processes(monkeypatch) -> Processes:
  """Two processes."""
  return Processes(2, monkeypatch)
