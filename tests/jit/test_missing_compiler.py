"""What the user reads where there is no compiler."""

import dataclasses
import sys

import pytest

from jax_deepgemm.jit import CompilerNotFoundError, KernelLibrary, nvrtc
from jax_deepgemm.jit.compiler import load_compiler
from jax_deepgemm.jit.toolkit import find_program


@pytest.fixture(autouse=True)
def nothing_is_loaded_yet():
  caches = (nvrtc.bindings, load_compiler, find_program)
  for cache in caches:
    cache.cache_clear()
  yield
  for cache in caches:
    cache.cache_clear()


def _no_bindings(monkeypatch):
  monkeypatch.setitem(sys.modules, "cuda.bindings", None)


def _no_library(monkeypatch):
  pathfinder = pytest.importorskip("cuda.pathfinder")

  def fail(name):
    raise RuntimeError(f"no lib{name}")

  monkeypatch.setattr(pathfinder, "load_nvidia_dynamic_lib", fail)


@pytest.mark.parametrize("remove", [_no_bindings, _no_library])
def test_without_nvrtc_the_error_says_what_to_install(
  remove, settings, monkeypatch
):
  remove(monkeypatch)
  with pytest.raises(CompilerNotFoundError) as caught:
    load_compiler(settings)
  text = str(caught.value)
  assert "pip install jax_deepgemm[cuda13]" in text
  assert "pip install jax_deepgemm[cuda12]" in text
  assert "DG_JIT_NVCC_COMPILER" in text


def test_importing_the_package_imports_no_cuda(python):
  script = "import sys, jax_deepgemm.jit; print('cuda.bindings' in sys.modules)"
  assert python(script).communicate()[0] == "False\n"


def test_a_library_without_compiler_fails_at_first_use_and_recovers(
  settings, make_recipe, monkeypatch
):
  with monkeypatch.context() as patch:
    _no_bindings(patch)
    library = KernelLibrary(settings)
    for use in (library.prefetch, library.resolve):
      with pytest.raises(CompilerNotFoundError, match="pip install"):
        use(make_recipe())
  library.prefetch(make_recipe())
  assert library.resolve(make_recipe())


@pytest.fixture
def nvcc_only(settings, monkeypatch):
  """Settings that ask for NVCC on a machine that has none."""
  pathfinder = pytest.importorskip("cuda.pathfinder")
  monkeypatch.setattr(
    pathfinder, "find_nvidia_binary_utility", lambda name: None
  )
  return dataclasses.replace(
    settings, use_nvrtc=False, cuda_home=None, search_path=""
  )


def test_without_nvcc_the_error_names_the_variables(nvcc_only):
  with pytest.raises(CompilerNotFoundError) as caught:
    load_compiler(nvcc_only)
  text = str(caught.value)
  assert "DG_JIT_NVCC_COMPILER" in text
  assert "CUDA_HOME" in text
  assert "pip install jax_deepgemm[cuda13]" in text


@pytest.mark.parametrize("name", ["absent", "folder", "not_executable"])
def test_a_named_nvcc_must_be_a_program(name, nvcc_only, tmp_path):
  (tmp_path / "folder").mkdir()
  (tmp_path / "not_executable").touch(mode=0o644)
  named = dataclasses.replace(nvcc_only, nvcc=str(tmp_path / name))
  with pytest.raises(CompilerNotFoundError, match=f"NVCC_COMPILER='.*{name}'"):
    load_compiler(named)


def test_nvcc_that_gives_no_version_is_refused(nvcc_only, tmp_path):
  program = tmp_path / "nvcc"
  program.write_text("#!/bin/sh\nexit 1\n")
  program.chmod(0o755)
  named = dataclasses.replace(nvcc_only, nvcc=str(program))
  with pytest.raises(CompilerNotFoundError, match="gave no version"):
    load_compiler(named)


def test_cuda_home_is_searched_before_the_path(nvcc_only, tmp_path):
  for folder in ("home/bin", "path"):
    program = tmp_path / folder / "nvcc"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\necho from {folder}\n")
    program.chmod(0o755)
  on_path = dataclasses.replace(nvcc_only, search_path=str(tmp_path / "path"))
  assert load_compiler(on_path).signature == "nvcc from path"
  both = dataclasses.replace(on_path, cuda_home=str(tmp_path / "home"))
  assert load_compiler(both).signature == "nvcc from home/bin"
