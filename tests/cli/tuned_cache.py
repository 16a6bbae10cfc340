"""A cache directory of its own for what a test tunes."""

import dataclasses

import pytest

from jax_deepgemm.cli import tuning_store
from jax_deepgemm.primitives import tuning_file


@pytest.fixture
def tuned_cache(monkeypatch, tmp_path):
  """Returns a function that forgets what was read, as a new process does."""
  environment = tuning_file.ENVIRONMENT
  jit = dataclasses.replace(environment.jit, cache_dir=str(tmp_path / "cache"))
  environment = dataclasses.replace(environment, jit=jit)
  monkeypatch.setattr(tuning_file, "ENVIRONMENT", environment)
  monkeypatch.setattr(tuning_store, "ENVIRONMENT", environment)
  monkeypatch.setattr(tuning_file, "_tables", {})
  return tuning_file._tables.clear
