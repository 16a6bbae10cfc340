"""Kernels as host libraries: compiling them, and lines from addresses."""

import concurrent.futures
import ctypes
import hashlib
import os
import pathlib
import re
import subprocess
import tempfile
from collections.abc import Iterable

from jax_deepgemm import jit
from jax_deepgemm.jit import Recipe

HERE = pathlib.Path(__file__).parent.resolve()
CUDA = pathlib.Path(jit.__file__).parent.parent / "cuda"
# Where the emulator stays compiled.
BUILD = HERE.parent.parent / "build" / "emulator"

# _FORTIFY_SOURCE takes the jumps between fibers for an attack.
_FLAGS = ["-std=c++20", "-fPIC", "-U_FORTIFY_SOURCE", "-w"]
# The checks of alignment and bounds turn a misaligned vector access or an index
# beyond an array into a SIGILL. Those of threads call the emulator before each
# access to memory; the sanitizer's library is not linked.
_KERNEL_FLAGS = [
  "-fno-strict-aliasing",
  "-fsanitize=alignment,bounds",
  "-fsanitize-undefined-trap-on-error",
  "-fsanitize=thread",
  "--param=tsan-instrument-func-entry-exit=0",
]
# -g1 has the lines of reports: 1.0 s a kernel. With the types that a debugger
# wants it takes 1.6.
_TESTED = ("-O1", "-g1")
_DEBUGGED = ("-O0", "-g")


class Toolchain:
  """Compiles the emulator once and each kernel once.

  What is in `folder` already, from the same sources, is used again.

  Attributes:
    folder: where kernels go.
    runtime: where the emulator itself goes.
  """

  def __init__(
    self,
    folder: pathlib.Path,
    *,
    runtime: pathlib.Path = BUILD,
    for_debugger: bool = False,
  ):
    self.folder = folder
    self.runtime = runtime
    self._kernel_flags = [
      *_KERNEL_FLAGS,
      *(_DEBUGGED if for_debugger else _TESTED),
    ]
    self._libraries: dict[
      tuple[tuple[Recipe, ...], pathlib.Path], pathlib.Path
    ] = {}
    for place in (folder, runtime):
      place.mkdir(parents=True, exist_ok=True)
    self._objects = self._compile_runtime()
    self._prelude = self._compile_prelude()

  def library(
    self, recipes: Iterable[Recipe], cuda: pathlib.Path = CUDA
  ) -> tuple[ctypes.CDLL, pathlib.Path]:
    """Returns the loaded library of kernels with distinct names, and its file.

    Each recipe is compiled once.
    """
    key = (tuple(dict.fromkeys(recipes)), cuda)
    if key not in self._libraries:
      self._libraries[key] = self._link(key[0], cuda)
    path = self._libraries[key]
    return ctypes.CDLL(str(path)), path

  def _compile_runtime(self) -> list[pathlib.Path]:
    version = digest(HERE / "runtime")

    def compile_one(source: pathlib.Path) -> pathlib.Path:
      target = self.runtime / f"{source.stem}-{version}.o"
      return _make(target, ["-O2", "-c", str(source)])

    sources = sorted((HERE / "runtime").glob("*.cc"))
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
      return list(pool.map(compile_one, sources))

  def _compile_prelude(self) -> pathlib.Path:
    """Returns where what all kernels include first is, parsed: 0.4 s of 1.0."""
    version = digest(
      HERE / "runtime", HERE / "device", text=f"{self._kernel_flags}"
    )
    folder = self.runtime / f"prelude-{version}"
    folder.mkdir(exist_ok=True)
    header = str(HERE / "device" / "prelude.h")
    flags = [*self._kernel_flags, "-x", "c++-header", header]
    _make(folder / "prelude.h.gch", flags)
    return folder

  def _link(
    self, recipes: Iterable[Recipe], cuda: pathlib.Path
  ) -> pathlib.Path:
    kernels = [self._compile_kernel(recipe, cuda) for recipe in recipes]
    name = kernels[0].stem
    if len(kernels) > 1:
      name = digest(text=" ".join(kernel.stem for kernel in kernels))
    objects = map(str, (*kernels, *self._objects))
    return _make(self.folder / f"{name}.so", ["-shared", *objects])

  def _compile_kernel(self, recipe: Recipe, cuda: pathlib.Path) -> pathlib.Path:
    text = (
      '#include "prelude.h"\n'
      f"#define {recipe.kernel} {symbol(recipe)}\n"
      f"{recipe.source}\n"
      f"JDG_EMULATE({symbol(recipe)})\n"
    )
    # The first folder's ptx/ stands in for that of the kernels.
    folders = (HERE / "device", cuda)
    key = f"{self._kernel_flags} {cuda}\n{text}"
    name = digest(HERE / "runtime", *folders, text=key)
    source = self.folder / f"{name}.cc"
    if not source.exists():
      # Whole or not at all: another process may compile the same.
      draft = self.folder / f"{name}-{os.getpid()}.cc"
      draft.write_text(text)
      os.replace(draft, source)
    includes = [f"-I{folder}" for folder in (self._prelude, *folders)]
    kernel = self.folder / f"{name}.o"
    flags = [*self._kernel_flags, *includes]
    return _make(kernel, [*flags, "-c", str(source)])


def symbol(recipe: Recipe) -> str:
  """Returns the kernel's name here: forms of one may be in one library."""
  form = hashlib.sha256(recipe.source.encode()).hexdigest()[:8]
  return f"{recipe.kernel}_{form}"


def with_lines(message: str, library: pathlib.Path) -> str:
  """Returns `message` with files and lines for its "kernel+0x..."."""
  pattern = re.compile(r"kernel\+(0x[0-9a-f]+)")
  addresses = sorted(set(pattern.findall(message)))
  found = subprocess.run(
    ["addr2line", "-a", "-i", "-e", str(library)],
    input="\n".join(addresses),
    capture_output=True,
    text=True,
    check=True,
  )
  places = {}
  for text in re.split(r"^(?=0x)", found.stdout, flags=re.MULTILINE)[1:]:
    address, *frames = text.splitlines()
    places[address] = _place(frames, library.parent)
  return pattern.sub(lambda match: places[_padded(match.group(1))], message)


def _padded(address: str) -> str:
  """Returns a number as addr2line prints it."""
  return f"0x{int(address, 16):016x}"


def _place(frames: list[str], folder: pathlib.Path) -> str:
  """Returns the kernel's lines, innermost first, without the emulator's."""
  foreign = (str(HERE / "device"), str(folder / ""))
  own = [
    frame
    for frame in frames
    if not frame.startswith(foreign) or "/mutated/" in frame
  ]
  names = [os.path.basename(frame).split(" ")[0] for frame in own or frames]
  return " < ".join(names[:3])


def digest(*folders: pathlib.Path, text: str = "") -> str:
  """Returns a hash of all sources below the folders, and of `text`."""
  found = hashlib.sha256(f"{_FLAGS}{text}".encode())
  for folder in folders:
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
      found.update(f"{path.relative_to(folder)}\n".encode())
      found.update(path.read_bytes())
  return found.hexdigest()[:16]


def _make(target: pathlib.Path, arguments: list[str]) -> pathlib.Path:
  """Returns `target`, which g++ makes unless it is there."""
  if target.exists():
    return target
  with tempfile.TemporaryDirectory(dir=target.parent) as folder:
    made = pathlib.Path(folder) / target.name
    command = ["g++", *_FLAGS, *arguments, f"-I{HERE}", "-o", str(made)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
      raise RuntimeError(f"{' '.join(command)}\n{done.stderr}")
    # Another process may make the same.
    os.replace(made, target)
  return target
