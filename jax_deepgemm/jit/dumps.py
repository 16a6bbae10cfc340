"""PTX and SASS next to the cache entry, for DG_JIT_DUMP_*."""

import os
import subprocess

from jax_deepgemm.jit.cache import DiskCache
from jax_deepgemm.jit.compiled import CompiledKernel
from jax_deepgemm.jit.errors import CompilerNotFoundError
from jax_deepgemm.jit.settings import JitSettings
from jax_deepgemm.jit.toolkit import find_program, temporary_folder

_NO_DISASSEMBLER = """\
DG_JIT_DUMP_SASS and DG_JIT_DUMP_ASM need nvdisasm or cuobjdump, and neither \
is in CUDA_HOME, PATH or NVIDIA's packages. Install one with
  pip install nvidia-cuda-nvdisasm
or set CUDA_HOME to the folder of a CUDA toolkit, or use DG_JIT_DUMP_PTX."""


def disassembler(settings: JitSettings) -> tuple[str, ...]:
  """Returns the command that prints the SASS of the cubin that follows it.

  Raises:
    CompilerNotFoundError: there is none.
  """
  # cuobjdump starts an nvdisasm of its own search path: a wheel has none there.
  if found := find_program("nvdisasm", settings):
    return (found,)
  if found := find_program("cuobjdump", settings):
    return (found, "-sass")
  raise CompilerNotFoundError(_NO_DISASSEMBLER)


def are_missing(key: str, settings: JitSettings, cache: DiskCache) -> bool:
  """Returns whether an entry lacks a dump that the settings ask for."""
  return any(
    not os.path.exists(cache.path(key, suffix))
    for suffix, wanted in (
      (".ptx", settings.wants_ptx),
      (".sass", settings.wants_sass),
    )
    if wanted
  )


def write(
  key: str, kernel: CompiledKernel, settings: JitSettings, cache: DiskCache
) -> None:
  """Writes `<key>.ptx` and `<key>.sass` as far as the settings ask for them.

  Raises:
    CompilerNotFoundError: there is no disassembler, or it does not run.
  """
  if settings.wants_ptx:
    cache.publish(cache.path(key, ".ptx"), kernel.ptx)
  if settings.wants_sass:
    cache.publish(cache.path(key, ".sass"), _sass(kernel.cubin, settings))


def _sass(cubin: bytes, settings: JitSettings) -> bytes:
  """Returns the disassembly of `cubin`."""
  with temporary_folder() as folder:
    path = os.path.join(folder, "kernel.cubin")
    with open(path, "wb") as file:
      file.write(cubin)
    command = [*disassembler(settings), path]
    done = subprocess.run(command, check=False, capture_output=True)
  if done.returncode != 0:
    reason = done.stderr.decode(errors="replace").strip()
    raise CompilerNotFoundError(f"{' '.join(command)} failed: {reason}")
  return done.stdout
