"""The fake launcher, its driver and its compiler, fresh for every test."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import pytest

from jax_deepgemm.ffi import _launch
from jax_deepgemm.jit.recipe import Recipe
from jax_deepgemm.primitives.kernel_call import KernelCall
from tests.ffi import fake_launcher


@pytest.fixture(scope="session")
def driver_path(tmp_path_factory: pytest.TempPathFactory) -> str:
  """The fake driver, compiled."""
  path = tmp_path_factory.mktemp("fake_cuda") / "libcuda.so"
  source = Path(__file__).with_name("fake_cuda.cc")
  compiler = os.environ.get("CXX", "c++")
  command = [compiler, "-shared", "-fPIC", "-std=c++17", source, "-o", path]
  subprocess.run(command, check=True)
  return str(path)


@pytest.fixture(scope="session")
def _installed(driver_path: str) -> fake_launcher.FakeDriver:
  if jax.default_backend() != "cpu":
    pytest.skip("the fake driver takes the real one's place: JAX_PLATFORMS=cpu")
  fake_launcher.install(driver_path)
  return fake_launcher.FakeDriver(driver_path)


@pytest.fixture
def driver(
  _installed: fake_launcher.FakeDriver,
) -> Iterator[fake_launcher.FakeDriver]:
  _installed.reset()
  _launch.reset_counters()
  yield _installed
  _installed.reset()


@pytest.fixture
def compiler() -> fake_launcher.FakeCompiler:
  compiler = fake_launcher.FakeCompiler()
  _launch.set_resolver(compiler)
  return compiler


@pytest.fixture
def make_call(
  request: pytest.FixtureRequest, compiler: fake_launcher.FakeCompiler
) -> Callable[..., KernelCall]:
  """Makes launches of a kernel that no other test has."""

  def make(
    params: tuple = (), sizes: str = "", kernel: str = "fake", **fields
  ) -> KernelCall:
    recipe = Recipe(kernel, sizes, "sm_90a", fingerprint=request.node.nodeid)
    geometry = {
      "grid": (1, 1, 1),
      "cluster": (1, 1, 1),
      "threads": 128,
      "smem_bytes": 0,
      "pdl": False,
    }
    return KernelCall(recipe, params=params, **(geometry | fields))

  return make
