"""Kernels as host libraries: compiling them, and lines from addresses."""

import concurrent.futures
import ctypes
import hashlib
import os
import pathlib
import re
import subprocess

from jax_deepgemm import jit
from jax_deepgemm.jit import Recipe

HERE = pathlib.Path(__file__).parent
CUDA = pathlib.Path(jit.__file__).parent.parent / "cuda"

# _FORTIFY_SOURCE takes the jumps between fibers for an attack.
_FLAGS = ["-std=c++20", "-fPIC", "-U_FORTIFY_SOURCE", "-w"]
# The last two turn a misaligned vector access or an index beyond an array into
# a SIGILL, which the emulator reports.
_KERNEL_FLAGS = [
  "-O1",
  "-g",
  "-fno-strict-aliasing",
  "-fsanitize=alignment,bounds",
  "-fsanitize-undefined-trap-on-error",
]


class Toolchain:
  """Compiles the emulator once and each kernel once.

  Attributes:
    folder: where objects and libraries go.
    cuda: the kernels' headers; those of the package unless a test changes them.
  """

  def __init__(self, folder: pathlib.Path):
    self.folder = folder
    self._libraries: dict[tuple[Recipe, pathlib.Path], pathlib.Path] = {}
    self._objects = self._compile_runtime()

  def library(
    self, recipe: Recipe, cuda: pathlib.Path = CUDA
  ) -> tuple[ctypes.CDLL, pathlib.Path]:
    """Returns the loaded library of `recipe`, and where it is."""
    key = (recipe, cuda)
    if key not in self._libraries:
      self._libraries[key] = self._compile_kernel(recipe, cuda)
    path = self._libraries[key]
    return ctypes.CDLL(str(path)), path

  def _compile_runtime(self) -> list[pathlib.Path]:
    def compile_one(source: pathlib.Path) -> pathlib.Path:
      target = self.folder / f"{source.stem}.o"
      _run(["-O2", "-c", str(source), "-o", str(target)])
      return target

    sources = sorted((HERE / "runtime").glob("*.cc"))
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
      return list(pool.map(compile_one, sources))

  def _compile_kernel(self, recipe: Recipe, cuda: pathlib.Path) -> pathlib.Path:
    text = (
      f'#include "prelude.h"\n{recipe.source}\nJDG_EMULATE({recipe.kernel})\n'
    )
    name = hashlib.sha256(f"{cuda}\n{text}".encode()).hexdigest()[:16]
    source = self.folder / f"{name}.cc"
    source.write_text(text)
    library = self.folder / f"{name}.so"
    # The first folder's ptx/ stands in for that of the kernels.
    includes = [f"-I{folder}" for folder in (HERE / "device", cuda)]
    objects = map(str, self._objects)
    target = ["-shared", "-o", str(library)]
    _run([*_KERNEL_FLAGS, *includes, str(source), *objects, *target])
    return library


def with_lines(message: str, library: pathlib.Path) -> str:
  """Returns `message` with files and lines for its "kernel+0x..."."""

  def lines(match: re.Match[str]) -> str:
    found = subprocess.run(
      ["addr2line", "-i", "-s", "-e", str(library), match.group(1)],
      capture_output=True,
      text=True,
      check=True,
    )
    # Innermost first; what the emulator itself inlines says nothing.
    frames = found.stdout.split("\n")[:-1]
    frames = [frame.split(" ")[0] for frame in frames]
    return " < ".join(frames[1:4] or frames)

  return re.sub(r"kernel\+(0x[0-9a-f]+)", lines, message)


def _run(arguments: list[str]) -> None:
  command = ["g++", *_FLAGS, *arguments, f"-I{HERE}"]
  done = subprocess.run(command, capture_output=True, text=True, check=False)
  if done.returncode:
    raise RuntimeError(f"{' '.join(command)}\n{done.stderr}")
