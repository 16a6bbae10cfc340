"""One compilation per recipe, on whichever thread."""

import builtins
import dataclasses
import logging
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from jax_deepgemm.jit import CompileError, KernelLibrary, library


@pytest.fixture
def compilations(monkeypatch) -> list[str]:
  """Names of the kernels compiled so far; each takes 50 ms longer."""
  names = []
  works = library.compile_kernel

  def counted(recipe, settings):
    names.append(recipe.kernel)
    time.sleep(0.05)
    return works(recipe, settings)

  monkeypatch.setattr(library, "compile_kernel", counted)
  return names


def _at_once(function, count):
  """Returns what `count` threads got that called `function` together."""
  barrier = threading.Barrier(count)

  def call(_):
    barrier.wait()
    return function()

  with ThreadPoolExecutor(count) as pool:
    return list(pool.map(call, range(count)))


def test_eight_threads_share_one_compilation(
  settings, make_recipe, compilations
):
  kernels = KernelLibrary(settings)
  cubins = _at_once(lambda: kernels.resolve(make_recipe()), 8)
  assert compilations == ["scale"]
  assert all(cubin is cubins[0] for cubin in cubins)


def test_eight_threads_that_prefetch_share_one_compilation(
  settings, make_recipe, compilations
):
  kernels = KernelLibrary(settings)
  _at_once(lambda: kernels.prefetch(make_recipe()), 8)
  assert kernels.resolve(make_recipe()).startswith(b"\x7fELF")
  assert compilations == ["scale"]


def test_prefetch_does_not_wait(settings, make_recipe, monkeypatch):
  go = threading.Event()
  works = library.compile_kernel

  def blocked(recipe, settings):
    assert go.wait(10)
    return works(recipe, settings)

  monkeypatch.setattr(library, "compile_kernel", blocked)
  kernels = KernelLibrary(settings)
  kernels.prefetch(make_recipe())
  go.set()
  assert kernels.resolve(make_recipe())


def test_different_recipes_get_different_cubins(settings, make_recipe):
  kernels = KernelLibrary(settings)
  source = 'extern "C" __global__ void other(int* p) { *p = 1; }'
  other = make_recipe(source, kernel="other")
  kernels.prefetch(other)
  assert b".text.scale" in kernels.resolve(make_recipe())
  assert b".text.other" in kernels.resolve(other)


def test_a_failure_reaches_every_waiter_and_is_tried_again(
  settings, make_recipe, monkeypatch
):
  attempts = []
  works = library.compile_kernel

  def fails(recipe, settings):
    attempts.append(recipe)
    time.sleep(0.2)
    raise CompileError("broken")

  kernels = KernelLibrary(settings)

  def failure():
    with pytest.raises(CompileError, match="broken"):
      kernels.resolve(make_recipe())

  monkeypatch.setattr(library, "compile_kernel", fails)
  _at_once(failure, 8)
  assert len(attempts) == 1
  monkeypatch.setattr(library, "compile_kernel", works)
  assert kernels.resolve(make_recipe()).startswith(b"\x7fELF")


def test_a_failed_prefetch_is_raised_by_resolve(settings, make_recipe):
  kernels = KernelLibrary(settings)
  recipe = make_recipe("int broken = missing_name;")
  kernels.prefetch(recipe)
  with pytest.raises(CompileError, match="missing_name"):
    kernels.resolve(recipe)


def test_a_recipe_of_another_version_is_refused(settings, make_recipe):
  with pytest.raises(RuntimeError, match="another version of jax_deepgemm"):
    KernelLibrary(settings).resolve(make_recipe(fingerprint="older"))


def test_reading_from_disk_takes_less_than_five_milliseconds(
  settings, make_recipe, compilations
):
  KernelLibrary(settings).resolve(make_recipe())
  times = []
  for _ in range(10):
    fresh = KernelLibrary(settings)
    start = time.perf_counter()
    fresh.resolve(make_recipe())
    times.append(time.perf_counter() - start)
  assert compilations == ["scale"]
  assert min(times) < 5e-3


@pytest.mark.parametrize("use_nvrtc", [True, False])
def test_resolve_imports_nothing(use_nvrtc, settings, make_recipe, monkeypatch):
  settings = dataclasses.replace(settings, use_nvrtc=use_nvrtc)
  libraries = [KernelLibrary(settings), KernelLibrary(settings)]
  try:
    libraries[0].prepare()
  except RuntimeError:
    pytest.skip("nvcc is not installed")
  recipe = make_recipe()
  imported = []
  works = builtins.__import__

  class Finder:
    def find_spec(self, name, path=None, target=None):
      imported.append(name)

  def noted(name, *args, **kwargs):
    imported.append(name)
    return works(name, *args, **kwargs)

  with monkeypatch.context() as patch:
    patch.setattr(sys, "meta_path", [Finder(), *sys.meta_path])
    patch.setattr(builtins, "__import__", noted)
    compiled, read = (kernels.resolve(recipe) for kernels in libraries)
  assert imported == []
  assert compiled == read


def test_load_times_are_logged_and_printed(
  settings, make_recipe, caplog, capsys
):
  loud = dataclasses.replace(settings, print_load_time=True)
  with caplog.at_level(logging.INFO):
    KernelLibrary(loud).resolve(make_recipe())
    KernelLibrary(loud).resolve(make_recipe())
  out = capsys.readouterr().out
  for text in (out, caplog.text):
    assert "scale: compiled in " in text
    assert "scale: read from disk in " in text


def test_nothing_is_printed_unless_asked_for(settings, make_recipe, capfd):
  KernelLibrary(settings).resolve(make_recipe())
  assert capfd.readouterr() == ("", "")


def test_debug_prints_the_source(settings, make_recipe, capsys):
  recipe = make_recipe()
  KernelLibrary(dataclasses.replace(settings, debug=True)).resolve(recipe)
  assert recipe.source in capsys.readouterr().out


def test_an_unchecked_entry_does_not_pass_the_ptxas_check(
  settings, make_recipe
):
  source = """
extern "C" __global__ void indexed(float* out, int n) {
  float a[64];
  for (int i = 0; i < 64; ++i) a[(i * n) & 63] = out[i];
  for (int i = 0; i < 64; ++i) out[i] = a[i];
}
"""
  recipe = make_recipe(source, kernel="indexed")
  KernelLibrary(settings).resolve(recipe)
  verbose = dataclasses.replace(settings, ptxas_verbose=True)
  KernelLibrary(verbose).resolve(recipe)
  checking = dataclasses.replace(settings, ptxas_check=True)
  with pytest.raises(CompileError, match="PTXAS_CHECK"):
    KernelLibrary(checking).resolve(recipe)
