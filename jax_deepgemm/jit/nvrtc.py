"""Compiles in this process with NVRTC, NVIDIA's compiler as a library."""

import functools
import os
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from jax_deepgemm.jit.compiled import CompiledKernel
from jax_deepgemm.jit.errors import CompileError, CompilerNotFoundError
from jax_deepgemm.jit.recipe import Recipe
from jax_deepgemm.jit.settings import JitSettings

_NOT_FOUND = """\
NVRTC, the CUDA runtime compiler, is not available: {reason}
Install it with one of
  pip install jax_deepgemm[cuda13]
  pip install jax_deepgemm[cuda12]
(the major of your CUDA driver or an older one), or set DG_JIT_USE_NVRTC=0 and \
DG_JIT_NVCC_COMPILER to the path of nvcc."""


@functools.cache
def bindings() -> tuple[ModuleType, str]:
  """Returns (cuda.bindings.nvrtc, signature) with the library loaded.

  The first call imports; later ones, from any thread, do not. The signature
  holds the size of the library because NVRTC reports only major and minor,
  and two builds of one minor may generate different code.

  Raises:
    CompilerNotFoundError: the bindings or the library are not installed.
  """
  try:
    from cuda.bindings import nvrtc
    from cuda.pathfinder import load_nvidia_dynamic_lib

    path = load_nvidia_dynamic_lib("nvrtc").abs_path
    size = os.path.getsize(path) if path else 0
    status, major, minor = nvrtc.nvrtcVersion()
  except (ImportError, RuntimeError, OSError) as error:
    raise CompilerNotFoundError(_NOT_FOUND.format(reason=error)) from error
  if int(status) != 0:
    raise CompilerNotFoundError(_NOT_FOUND.format(reason=status))
  return nvrtc, f"nvrtc {major}.{minor} ({size} bytes)"


class Nvrtc:
  """NVRTC with fixed settings; raises CompilerNotFoundError if missing."""

  def __init__(self, settings: JitSettings) -> None:
    self._settings = settings
    self._nvrtc, self.signature = bindings()

  def options(self, recipe: Recipe) -> tuple[str, ...]:
    """Returns the options that `recipe` is compiled with."""
    options = [
      f"--gpu-architecture={recipe.arch}",
      f"--std=c++{self._settings.cpp_standard}",
      "-default-device",
      *recipe.flags.split(),
    ]
    if self._settings.with_lineinfo:
      options.append("--generate-line-info")
    if self._settings.wants_ptxas_log:
      options.append("--ptxas-options=-v")
    return tuple(options)

  def command(self, recipe: Recipe) -> str:
    """Returns what is compiled how, for messages."""
    return " ".join(["nvrtc", *self.options(recipe), f"{recipe.kernel}.cu"])

  def compile(
    self, recipe: Recipe, headers: Mapping[str, str]
  ) -> CompiledKernel:
    """Returns cubin, PTX and log; the headers never touch the disk."""
    status, program = self._nvrtc.nvrtcCreateProgram(
      recipe.source.encode(),
      f"{recipe.kernel}.cu".encode(),
      len(headers),
      [text.encode() for text in headers.values()],
      [name.encode() for name in headers],
    )
    self._check(status, "nvrtcCreateProgram")
    try:
      return self._run(program, recipe)
    finally:
      self._nvrtc.nvrtcDestroyProgram(program)

  def _run(self, program: Any, recipe: Recipe) -> CompiledKernel:
    options = [option.encode() for option in self.options(recipe)]
    (status,) = self._nvrtc.nvrtcCompileProgram(program, len(options), options)
    log = self._read(program, "ProgramLog").rstrip(b"\0 \n").decode()
    if int(status) != 0:
      return CompiledKernel(cubin=b"", ptx=b"", log=log or str(status))
    ptx = b""
    if self._settings.wants_ptx:
      ptx = self._read(program, "PTX").rstrip(b"\0")
    return CompiledKernel(cubin=self._read(program, "CUBIN"), ptx=ptx, log=log)

  def _read(self, program: Any, what: str) -> bytes:
    """Returns the program's log, PTX or cubin."""
    status, size = getattr(self._nvrtc, f"nvrtcGet{what}Size")(program)
    self._check(status, f"nvrtcGet{what}Size")
    buffer = bytearray(size)
    (status,) = getattr(self._nvrtc, f"nvrtcGet{what}")(program, buffer)
    self._check(status, f"nvrtcGet{what}")
    return bytes(buffer)

  def _check(self, status: Any, function: str) -> None:
    if int(status) != 0:
      raise CompileError(f"{function} failed: {status}")
