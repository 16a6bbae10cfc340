"""Small kernels and settings for the tests of jax_deepgemm.jit."""

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from jax_deepgemm.jit import JitSettings, Recipe, headers_fingerprint

SCALE = """
extern "C" __global__ void scale(float* out, float factor) {
  out[threadIdx.x] *= factor;
}
"""


@pytest.fixture
def settings(tmp_path) -> JitSettings:
  return JitSettings(
    cache_dir=str(tmp_path / "cache"),
    cuda_home=os.environ.get("CUDA_HOME"),
    search_path=os.environ.get("PATH", ""),
  )


@pytest.fixture
def make_recipe() -> Callable[..., Recipe]:
  def make(
    source: str = SCALE,
    kernel: str = "scale",
    arch: str = "sm_90a",
    flags: str = "",
    fingerprint: str | None = None,
  ) -> Recipe:
    if fingerprint is None:
      fingerprint = headers_fingerprint()
    return Recipe(kernel, source, arch, flags, fingerprint)

  return make


@pytest.fixture
def python() -> Callable[..., subprocess.Popen[str]]:
  """Starts a Python process that runs a script and finds our modules."""

  def start(script: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
      [sys.executable, "-c", script, *arguments],
      env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
      text=True,
    )

  return start
