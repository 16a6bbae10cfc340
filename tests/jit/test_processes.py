"""Several processes on one cache directory, and the end of a process."""

import os

import pytest

_PROLOGUE = """
import hashlib, sys
from jax_deepgemm.jit import *
kernels = KernelLibrary(JitSettings(cache_dir=sys.argv[1]))
kernels.prepare()
source = 'extern "C" __global__ void k%d(int* p) { *p = %d; }'
recipes = [
  Recipe(f"k{i}", source % (i, i), "sm_90a", "", headers_fingerprint())
  for i in range(4)
]
"""
_RESOLVE = (
  _PROLOGUE
  + """
print("ready", flush=True)
sys.stdin.readline()
for recipe in recipes:
  print(hashlib.sha256(kernels.resolve(recipe)).hexdigest())
"""
)
_PREFETCH_AND_EXIT = (
  _PROLOGUE
  + """
for recipe in recipes:
  kernels.prefetch(recipe)
"""
)


@pytest.fixture
def directory(tmp_path) -> str:
  return str(tmp_path / "cache")


def test_eight_processes_fill_one_directory_at_once(directory, python):
  processes = [python(_RESOLVE, directory) for _ in range(8)]
  for process in processes:
    assert process.stdout.readline() == "ready\n", process.stderr.read()
  for process in processes:
    process.stdin.write("go\n")
    process.stdin.flush()
  results = [process.communicate() for process in processes]
  assert [process.returncode for process in processes] == [0] * 8, results
  assert len({out for out, _ in results}) == 1
  assert "".join(err for _, err in results) == ""
  names = sorted(os.listdir(directory))
  assert [name.split("-")[0] for name in names] == ["k0", "k1", "k2", "k3"]


def test_a_process_that_only_prefetches_ends_after_its_compilations(
  directory, python
):
  process = python(_PREFETCH_AND_EXIT, directory)
  assert process.communicate() == ("", "")
  assert process.returncode == 0
  assert len(os.listdir(directory)) == 4
