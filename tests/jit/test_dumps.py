"""DG_JIT_DUMP_*: text next to the cache entry."""

import dataclasses
import os

import pytest

from jax_deepgemm.jit import CompilerNotFoundError, KernelLibrary
from jax_deepgemm.jit.toolkit import find_program

_NVDISASM = """#!/bin/sh
head -c 4 "$1" | grep -q ELF && echo SASS of "$1"
"""


@pytest.fixture
def with_nvdisasm(settings, tmp_path):
  """Settings whose CUDA_HOME holds a stand-in for nvdisasm."""
  program = tmp_path / "home" / "bin" / "nvdisasm"
  program.parent.mkdir(parents=True)
  program.write_text(_NVDISASM)
  program.chmod(0o755)
  return dataclasses.replace(settings, cuda_home=str(tmp_path / "home"))


@pytest.fixture
def without_disassembler(settings, monkeypatch):
  """Settings that find no tool of the toolkit."""
  pathfinder = pytest.importorskip("cuda.pathfinder")
  monkeypatch.setattr(
    pathfinder, "find_nvidia_binary_utility", lambda name: None
  )
  find_program.cache_clear()
  yield dataclasses.replace(settings, cuda_home=None, search_path="")
  find_program.cache_clear()


def _suffixes(settings):
  names = os.listdir(settings.cache_dir)
  assert len({os.path.splitext(name)[0] for name in names}) == 1
  return sorted(os.path.splitext(name)[1] for name in names)


@pytest.mark.parametrize("use_nvrtc", [True, False])
def test_ptx_is_written_even_if_the_cubin_is_cached(
  use_nvrtc, settings, make_recipe
):
  settings = dataclasses.replace(settings, use_nvrtc=use_nvrtc)
  try:
    KernelLibrary(settings).resolve(make_recipe())
  except CompilerNotFoundError:
    pytest.skip("nvcc is not installed")
  assert _suffixes(settings) == [".cubin"]
  dumping = dataclasses.replace(settings, dump_ptx=True)
  KernelLibrary(dumping).resolve(make_recipe())
  assert _suffixes(settings) == [".cubin", ".ptx"]
  (name,) = (n for n in os.listdir(settings.cache_dir) if n.endswith(".ptx"))
  with open(os.path.join(settings.cache_dir, name)) as file:
    text = file.read()
  assert ".target sm_90a" in text
  assert ".entry scale(" in text


@pytest.mark.parametrize(
  ("option", "suffixes"),
  [
    ("dump_sass", [".cubin", ".sass"]),
    ("dump_asm", [".cubin", ".ptx", ".sass"]),
  ],
)
def test_sass_comes_from_the_disassembler(
  option, suffixes, with_nvdisasm, make_recipe
):
  dumping = dataclasses.replace(with_nvdisasm, **{option: True})
  KernelLibrary(dumping).resolve(make_recipe())
  assert _suffixes(dumping) == suffixes
  (name,) = (n for n in os.listdir(dumping.cache_dir) if n.endswith(".sass"))
  with open(os.path.join(dumping.cache_dir, name)) as file:
    assert file.read().startswith("SASS of ")


def test_a_cached_kernel_with_its_dumps_is_not_compiled_again(
  settings, make_recipe, monkeypatch
):
  dumping = dataclasses.replace(settings, dump_ptx=True)
  KernelLibrary(dumping).resolve(make_recipe())
  monkeypatch.setattr(
    "jax_deepgemm.jit.library.compile_kernel",
    lambda *_: pytest.fail("compiled again"),
  )
  assert KernelLibrary(dumping).resolve(make_recipe())


def test_sass_without_a_disassembler_is_an_error_that_says_what_to_do(
  without_disassembler, make_recipe
):
  dumping = dataclasses.replace(without_disassembler, dump_sass=True)
  library = KernelLibrary(dumping)
  for use in (library.prefetch, library.resolve):
    with pytest.raises(CompilerNotFoundError) as caught:
      use(make_recipe())
    text = str(caught.value)
    assert "nvdisasm or cuobjdump" in text
    assert "pip install" in text


def test_a_disassembler_that_fails_is_an_error(with_nvdisasm, make_recipe):
  program = os.path.join(with_nvdisasm.cuda_home, "bin", "nvdisasm")
  with open(program, "w") as file:
    file.write("#!/bin/sh\necho cannot read >&2\nexit 3\n")
  dumping = dataclasses.replace(with_nvdisasm, dump_sass=True)
  with pytest.raises(CompilerNotFoundError, match="failed: cannot read"):
    KernelLibrary(dumping).resolve(make_recipe())
