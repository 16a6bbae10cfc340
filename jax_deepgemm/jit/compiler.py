"""Recipe to cubin with the compiler that the settings name."""

import functools
from collections.abc import Mapping
from typing import Protocol

from jax_deepgemm.jit import ptxas, source
from jax_deepgemm.jit.compiled import CompiledKernel
from jax_deepgemm.jit.errors import CompileError, with_line_numbers
from jax_deepgemm.jit.nvcc import Nvcc
from jax_deepgemm.jit.nvrtc import Nvrtc
from jax_deepgemm.jit.recipe import Recipe
from jax_deepgemm.jit.settings import JitSettings


class Compiler(Protocol):
  """A compiler with fixed settings; safe to use from several threads."""

  signature: str

  def options(self, recipe: Recipe) -> tuple[str, ...]:
    """Returns all options that decide the machine code of `recipe`."""

  def command(self, recipe: Recipe) -> str:
    """Returns one line that tells the user how `recipe` is compiled."""

  def compile(
    self, recipe: Recipe, headers: Mapping[str, str]
  ) -> CompiledKernel:
    """Returns the outcome; its cubin is empty where the source is wrong."""


@functools.cache
def load_compiler(settings: JitSettings) -> Compiler:
  """Returns the compiler of `settings`, found and loaded by the first call.

  Raises:
    CompilerNotFoundError: it is not installed; the text says what to do. The
      failure is not kept, so that a later call finds a new installation.
  """
  return Nvrtc(settings) if settings.use_nvrtc else Nvcc(settings)


def compiler_signature(settings: JitSettings) -> str:
  """Returns name, version and build of the compiler, for the cache's key."""
  return load_compiler(settings).signature


def compile_kernel(
  recipe: Recipe,
  settings: JitSettings,
  headers: Mapping[str, str] | None = None,
) -> CompiledKernel:
  """Returns cubin and log of `recipe`.

  Args:
    recipe: what to compile.
    settings: compiler, its options, and what to print.
    headers: {name in #include: text}; the package's headers if None.

  Raises:
    CompileError: the source is wrong, or `ptxas_check` refuses the result.
    CompilerNotFoundError: there is no compiler.
  """
  compiler = load_compiler(settings)
  if settings.print_compiler_command:
    print(compiler.command(recipe), flush=True)
  texts = source.headers() if headers is None else headers
  kernel = compiler.compile(recipe, texts)
  if not kernel.cubin:
    raise _error("does not compile", compiler, recipe, kernel.log)
  if settings.ptxas_verbose:
    print(f"{recipe.kernel}:\n{kernel.log}", flush=True)
  if settings.ptxas_check and (found := ptxas.complaints(kernel.log)):
    what = "fails DG_JIT_PTXAS_CHECK:\n  " + "\n  ".join(found)
    raise _error(what, compiler, recipe, kernel.log)
  return kernel


def _error(
  what: str, compiler: Compiler, recipe: Recipe, log: str
) -> CompileError:
  """Returns the error with everything needed to repeat the compilation."""
  return CompileError(
    f"kernel {recipe.kernel} {what}\n"
    f"compiler: {compiler.signature}\n"
    f"command: {compiler.command(recipe)}\n"
    f"log:\n{log}\n"
    f"source:\n{with_line_numbers(recipe.source)}"
  )
