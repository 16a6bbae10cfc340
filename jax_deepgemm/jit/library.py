"""Kernels of this process: memory, then disk, then the compiler."""

import contextlib
import logging
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor

from jax_deepgemm.jit import dumps
from jax_deepgemm.jit.cache import DiskCache, entry_key
from jax_deepgemm.jit.compiler import Compiler, compile_kernel, load_compiler
from jax_deepgemm.jit.errors import CompilerNotFoundError
from jax_deepgemm.jit.recipe import Recipe
from jax_deepgemm.jit.settings import JitSettings
from jax_deepgemm.jit.source import headers_fingerprint

_logger = logging.getLogger(__name__)


class KernelLibrary:
  """Resolves recipes to cubins, each once however many threads ask.

  XLA calls `resolve` from threads of its own while another thread may hold
  Python's import lock, so `resolve` must not import anything. Everything that
  imports is in `prepare`, which the constructor and `prefetch` run.
  """

  def __init__(self, settings: JitSettings) -> None:
    """Prepares; what fails there is raised by the first use that needs it."""
    self._settings = settings
    self._cache = DiskCache(settings.cache_dir, settings.cache_dir_is_explicit)
    self._fingerprint = headers_fingerprint()
    self._compiler: Compiler | None = None
    self._failure: Exception | None = None
    self._lock = threading.Lock()
    self._cubins: dict[Recipe, Future[bytes]] = {}
    self._pool = ThreadPoolExecutor(
      settings.num_workers, thread_name_prefix="jax_deepgemm_compile"
    )
    try:
      self.prepare()
    except (CompilerNotFoundError, OSError, ValueError) as error:
      self._failure = error

  def prepare(self) -> None:
    """Imports and loads the compiler and opens the cache's directory.

    Raises:
      CompilerNotFoundError: no compiler, or no disassembler for a dump.
      OSError, ValueError: the user's DG_JIT_CACHE_DIR cannot be written.
    """
    if self._compiler is not None:
      return
    self._cache.open()
    if self._settings.wants_sass:
      dumps.disassembler(self._settings)
    self._compiler = load_compiler(self._settings)

  def prefetch(self, recipe: Recipe) -> None:
    """Starts to resolve `recipe` on a worker thread and returns at once.

    A compile error is raised by the `resolve` that follows. The workers are
    joined when the interpreter exits.

    Raises:
      CompilerNotFoundError, OSError, ValueError: as `prepare`.
    """
    self.prepare()
    with self._lock:
      if recipe in self._cubins:
        return
      # No new thread can start while the interpreter exits; `resolve` then
      # compiles on its caller's thread.
      with contextlib.suppress(RuntimeError):
        self._cubins[recipe] = self._pool.submit(self._load, recipe)

  def resolve(self, recipe: Recipe) -> bytes:
    """Returns the cubin of `recipe`.

    Threads that ask for a recipe at the same time wait for one compilation and
    all get its result or its exception. A failure is not kept: the next call
    tries again.

    Raises:
      RuntimeError: the recipe was written by another version of this package.
      CompileError: the source does not compile.
      CompilerNotFoundError, OSError, ValueError: as `prepare`.
    """
    with self._lock:
      future = self._cubins.get(recipe)
      mine = future is None
      if future is None:
        future = self._cubins[recipe] = Future()
    if mine:
      try:
        future.set_result(self._load(recipe))
      except BaseException as error:
        future.set_exception(error)
    return future.result()

  def _load(self, recipe: Recipe) -> bytes:
    """Returns the cubin, timed; forgets the recipe if that fails."""
    start = time.perf_counter()
    try:
      cubin, origin = self._load_or_compile(recipe)
    except BaseException:
      with self._lock:
        del self._cubins[recipe]
      raise
    milliseconds = (time.perf_counter() - start) * 1e3
    _logger.info("%s: %s in %.1f ms", recipe.kernel, origin, milliseconds)
    if self._settings.print_load_time:
      text = f"{recipe.kernel}: {origin} in {milliseconds:.1f} ms"
      print(text, flush=True)
    return cubin

  def _load_or_compile(self, recipe: Recipe) -> tuple[bytes, str]:
    """Returns (cubin, where it came from)."""
    self._check_version(recipe)
    if self._compiler is None:
      raise self._failure or CompilerNotFoundError("prepare() has not run")
    if self._settings.debug:
      print(f"// {recipe.kernel}\n{recipe.source}", flush=True)
    options = self._compiler.options(recipe)
    if self._settings.ptxas_check:
      options += ("ptxas_check",)
    key = entry_key(recipe, self._compiler.signature, options)
    if not dumps.are_missing(key, self._settings, self._cache):
      cubin = self._cache.load(key)
      if cubin is not None:
        return cubin, "read from disk"
    kernel = compile_kernel(recipe, self._settings)
    self._cache.store(key, kernel.cubin)
    dumps.write(key, kernel, self._settings, self._cache)
    return kernel.cubin, "compiled"

  def _check_version(self, recipe: Recipe) -> None:
    if recipe.fingerprint != self._fingerprint:
      raise RuntimeError(
        f"kernel {recipe.kernel} was lowered by another version of "
        f"jax_deepgemm (its headers hash to {recipe.fingerprint!r}, the "
        f"installed ones to {self._fingerprint!r}): trace or export the "
        "program again with this version"
      )
