"""Compiles with NVCC, a program of the CUDA toolkit, in a new process."""

import functools
import os
import shlex
import subprocess
from collections.abc import Mapping

from jax_deepgemm.jit.compiled import CompiledKernel
from jax_deepgemm.jit.errors import CompilerNotFoundError
from jax_deepgemm.jit.recipe import Recipe
from jax_deepgemm.jit.settings import JitSettings
from jax_deepgemm.jit.toolkit import find_program, temporary_folder

_NOT_FOUND = """\
NVCC is not available: {reason}
Set DG_JIT_NVCC_COMPILER to its path or CUDA_HOME to the toolkit's folder, or \
leave DG_JIT_USE_NVRTC unset and compile with NVRTC, installed with
  pip install jax_deepgemm[cuda13]
  pip install jax_deepgemm[cuda12]"""


class Nvcc:
  """NVCC with fixed settings; raises CompilerNotFoundError if missing."""

  def __init__(self, settings: JitSettings) -> None:
    self._settings = settings
    self._program = _locate(settings)
    self.signature = _signature(self._program)

  def options(self, recipe: Recipe) -> tuple[str, ...]:
    """Returns the options that `recipe` is compiled with, paths left out."""
    virtual = recipe.arch.replace("sm_", "compute_")
    options = [
      "-cubin",
      f"-gencode=arch={virtual},code={recipe.arch}",
      f"--std=c++{self._settings.cpp_standard}",
      # NVRTC's -default-device makes constexpr functions device functions.
      "--expt-relaxed-constexpr",
      *recipe.flags.split(),
    ]
    if self._settings.with_lineinfo:
      options.append("-lineinfo")
    if self._settings.wants_ptxas_log:
      options.append("--ptxas-options=-v")
    return tuple(options)

  def command(self, recipe: Recipe) -> str:
    """Returns what is compiled how, for messages."""
    return shlex.join(
      [self._program, *self.options(recipe), f"{recipe.kernel}.cu"]
    )

  def compile(
    self, recipe: Recipe, headers: Mapping[str, str]
  ) -> CompiledKernel:
    """Returns cubin, PTX and log of a run in a temporary folder."""
    with temporary_folder() as folder:
      for name, text in headers.items():
        _write(os.path.join(folder, "cuda", name), text)
      stem = os.path.join(folder, recipe.kernel)
      _write(f"{stem}.cu", recipe.source)
      command = [self._program, *self.options(recipe)]
      command += ["-I", os.path.join(folder, "cuda")]
      if self._settings.wants_ptx:
        command += ["--keep", "--keep-dir", folder]
      command += ["-o", f"{stem}.cubin", f"{stem}.cu"]
      done = subprocess.run(
        command,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
      )
      log = done.stdout.decode(errors="replace").rstrip()
      if done.returncode != 0:
        return CompiledKernel(cubin=b"", ptx=b"", log=log)
      ptx = _read(f"{stem}.ptx") if self._settings.wants_ptx else b""
      return CompiledKernel(cubin=_read(f"{stem}.cubin"), ptx=ptx, log=log)


def _locate(settings: JitSettings) -> str:
  """Returns the path of nvcc; one that the user named must exist."""
  if settings.nvcc is not None:
    if not os.access(settings.nvcc, os.X_OK) or os.path.isdir(settings.nvcc):
      reason = f"DG_JIT_NVCC_COMPILER={settings.nvcc!r} is no executable file."
      raise CompilerNotFoundError(_NOT_FOUND.format(reason=reason))
    return settings.nvcc
  found = find_program("nvcc", settings)
  if found is None:
    reason = "it is in no folder of CUDA_HOME, PATH or NVIDIA's packages."
    raise CompilerNotFoundError(_NOT_FOUND.format(reason=reason))
  return found


@functools.cache
def _signature(program: str) -> str:
  """Returns the last line of `nvcc --version`, which names the build."""
  try:
    command = [program, "--version"]
    done = subprocess.run(command, check=False, capture_output=True)
  except OSError as error:
    reason = f"{program} does not run: {error}"
    raise CompilerNotFoundError(_NOT_FOUND.format(reason=reason)) from error
  lines = done.stdout.decode(errors="replace").split("\n")
  lines = [line.strip() for line in lines if line.strip()]
  if done.returncode != 0 or not lines:
    reason = f"`{program} --version` gave no version."
    raise CompilerNotFoundError(_NOT_FOUND.format(reason=reason))
  return f"nvcc {lines[-1]}"


def _write(path: str, text: str) -> None:
  os.makedirs(os.path.dirname(path), exist_ok=True)
  with open(path, "w", encoding="utf-8") as file:
    file.write(text)


def _read(path: str) -> bytes:
  with open(path, "rb") as file:
    return file.read()
