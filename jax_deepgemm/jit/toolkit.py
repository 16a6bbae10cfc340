"""Finds programs of the CUDA toolkit and gives them a place to work."""

import contextlib
import functools
import os
import shutil
import tempfile
from collections.abc import Iterator

from jax_deepgemm.jit.settings import JitSettings


@functools.cache
def find_program(name: str, settings: JitSettings) -> str | None:
  """Returns the path of a CUDA program, or None.

  Searched in this order: bin/ of `settings.cuda_home`, `settings.search_path`,
  then NVIDIA's Python wheels, conda and the system's toolkit through
  cuda-pathfinder. The answer is kept, so that only the first call imports.

  Args:
    name: file name without folder, e.g. "nvcc".
    settings: where to look.
  """
  if settings.cuda_home:
    bin_folder = os.path.join(settings.cuda_home, "bin")
    if found := shutil.which(name, path=bin_folder):
      return found
  if found := shutil.which(name, path=settings.search_path):
    return found
  try:
    from cuda.pathfinder import find_nvidia_binary_utility
  except ImportError:
    return None
  return find_nvidia_binary_utility(name)


@contextlib.contextmanager
def temporary_folder() -> Iterator[str]:
  """Returns a context whose value is a new folder, deleted at its end.

  Stands in for tempfile.TemporaryDirectory, whose finalizer imports.
  """
  folder = tempfile.mkdtemp(prefix="jax_deepgemm_")
  try:
    yield folder
  finally:
    shutil.rmtree(folder, ignore_errors=True)
