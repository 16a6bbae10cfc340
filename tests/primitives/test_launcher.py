"""What importing the package loads."""

import importlib.util
import os
import pathlib
import subprocess
import sys

import pytest

_ROOT = pathlib.Path(__file__).parents[2]
_LOADED = "import sys, jax_deepgemm; print('cuda.bindings' in sys.modules)"


def _compiler_is_loaded(*folders):
  path = os.pathsep.join(map(str, (_ROOT, *folders)))
  return subprocess.run(
    [sys.executable, "-c", _LOADED],
    env=os.environ | {"PYTHONPATH": path, "JAX_PLATFORMS": "cpu"},
    capture_output=True,
    text=True,
    check=True,
  ).stdout.strip()


@pytest.mark.skipif(
  importlib.util.find_spec("cuda") is None, reason="needs cuda-bindings"
)
@pytest.mark.parametrize("plugin", ["xla_cuda12", "xla_cuda13"])
def test_the_compiler_is_loaded_where_jax_has_a_plugin_for_cuda(
  tmp_path, plugin
):
  (tmp_path / "jax_plugins" / plugin).mkdir(parents=True)
  assert _compiler_is_loaded(tmp_path) == "True"


def test_the_compiler_is_not_loaded_elsewhere(tmp_path):
  (tmp_path / "jax_plugins" / "other").mkdir(parents=True)
  if any(
    (pathlib.Path(path) / name).is_dir()
    for path in _plugin_folders()
    for name in ("xla_cuda12", "xla_cuda13")
  ):
    pytest.skip("this machine has a plugin for CUDA")
  assert _compiler_is_loaded(tmp_path) == "False"


def _plugin_folders():
  spec = importlib.util.find_spec("jax_plugins")
  return spec.submodule_search_locations if spec else ()
