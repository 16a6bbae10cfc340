"""Kernels as host libraries: compiling them, and lines from addresses."""

import ctypes
import functools
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
      tuple[tuple[Recipe, ...], pathlib.Path | None], pathlib.Path
    ] = {}
    for place in (folder, runtime):
      place.mkdir(parents=True, exist_ok=True)
    self._runtime = self._compile_runtime()
    self._prelude = self._compile_prelude()

  def library(
    self, recipes: Iterable[Recipe], changed: pathlib.Path | None = None
  ) -> tuple[ctypes.CDLL, pathlib.Path]:
    """Returns the loaded library of kernels with distinct names, and its file.

    Each recipe is compiled once.

    Args:
      recipes: of the kernels.
      changed: folder of headers that stand in for those of the same path.
    """
    key = (tuple(dict.fromkeys(recipes)), changed)
    if key not in self._libraries:
      self._libraries[key] = self._link(key[0], changed)
    path = self._libraries[key]
    return ctypes.CDLL(str(path)), path

  def _compile_runtime(self) -> pathlib.Path:
    """Returns the emulator, compiled as one unit: 7 s, as many units 25."""
    sources = sorted((HERE / "runtime").glob("*.cc"))
    text = "".join(f'#include "runtime/{path.name}"\n' for path in sources)
    name = f"runtime-{digest(_unchanging(HERE / 'runtime'))}"
    source = _write(self.runtime / f"{name}.cc", text)
    return _make(self.runtime / f"{name}.o", ["-O2", "-c", str(source)])

  def _compile_prelude(self) -> pathlib.Path:
    """Returns where what all kernels include first is, parsed: 0.4 s of 1.0."""
    folders = map(_unchanging, (HERE / "runtime", HERE / "device"))
    version = digest(*folders, f"{self._kernel_flags}")
    folder = self.runtime / f"prelude-{version}"
    folder.mkdir(exist_ok=True)
    header = str(HERE / "device" / "prelude.h")
    flags = [*self._kernel_flags, "-x", "c++-header", header]
    _make(folder / "prelude.h.gch", flags)
    return folder

  def _link(
    self, recipes: Iterable[Recipe], changed: pathlib.Path | None
  ) -> pathlib.Path:
    kernels = [self._compile_kernel(recipe, changed) for recipe in recipes]
    name = kernels[0].stem
    if len(kernels) > 1:
      name = digest(*(kernel.stem for kernel in kernels))
    objects = map(str, (*kernels, self._runtime))
    return _make(self.folder / f"{name}.so", ["-shared", *objects])

  def _compile_kernel(
    self, recipe: Recipe, changed: pathlib.Path | None
  ) -> pathlib.Path:
    text = (
      '#include "prelude.h"\n'
      f"#define {recipe.kernel} {symbol(recipe)}\n"
      f"{recipe.source}\n"
      f"JDG_EMULATE({symbol(recipe)})\n"
    )
    # A folder stands in for those behind it: ptx/ for that of the kernels.
    folders = [HERE / "device", CUDA]
    versions = [_unchanging(folder) for folder in (HERE / "runtime", *folders)]
    if changed is not None:
      folders.insert(1, changed)
      versions.append(folder_digest(changed))
    name = digest(*versions, f"{self._kernel_flags} {changed}\n{text}")
    source = _write(self.folder / f"{name}.cc", text)
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


def digest(*texts: str) -> str:
  """Returns a hash of the texts, and of what every compilation is told."""
  found = hashlib.sha256(str((_FLAGS, texts)).encode())
  return found.hexdigest()[:16]


def folder_digest(folder: pathlib.Path) -> str:
  """Returns a hash of all sources below the folder."""
  found = hashlib.sha256()
  for path in sorted(path for path in folder.rglob("*") if path.is_file()):
    found.update(f"{path.relative_to(folder)}\n".encode())
    found.update(path.read_bytes())
  return found.hexdigest()


# Those of the checkout are read once: they are 200 files.
_unchanging = functools.cache(folder_digest)


def _write(target: pathlib.Path, text: str) -> pathlib.Path:
  """Returns `target`, written whole: another process may compile the same."""
  if not target.exists():
    draft = target.with_stem(f"{target.stem}-{os.getpid()}")
    draft.write_text(text)
    os.replace(draft, target)
  return target


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
