"""The kernels of this process: one library, made when first asked for."""

import threading

from jax_deepgemm.environment import ENVIRONMENT
from jax_deepgemm.jit.library import KernelLibrary
from jax_deepgemm.jit.recipe import Recipe

_lock = threading.Lock()
_libraries: list[KernelLibrary] = []


def library() -> KernelLibrary:
  """Returns the library that all lowerings and launches share."""
  with _lock:
    if not _libraries:
      _libraries.append(KernelLibrary(ENVIRONMENT.jit))
    return _libraries[0]


def resolve(
  kernel: str, source: str, arch: str, flags: str, fingerprint: str
) -> bytes:
  """Returns the cubin of a recipe: the launcher's resolver.

  XLA calls it on a thread of its own while JAX may hold locks, so it imports
  nothing, calls no JAX and reads nothing thread-local.
  """
  return library().resolve(Recipe(kernel, source, arch, flags, fingerprint))
