"""Programs that are compiled in a quarter of the time, and run slower."""

import contextlib
import functools
from collections.abc import Iterator
from unittest import mock

import jax

_OPTIONS: dict[str, int | bool] = {"xla_backend_optimization_level": 0}
if jax.__version_info__ < (0, 11):
  # A later XLA has no other emitters, and refuses the name.
  _OPTIONS["xla_cpu_use_fusion_emitters"] = False
XLA_FLAGS = " ".join(
  f"--{name}={str(value).lower()}" for name, value in _OPTIONS.items()
)


@contextlib.contextmanager
def in_this_process() -> Iterator[None]:
  """Returns a context in which `jax.jit` compiles like that on a CPU."""
  if jax.default_backend() != "cpu":
    yield
    return
  fast = functools.partial(jax.jit, compiler_options=_OPTIONS)
  with mock.patch.object(jax, "jit", fast):
    yield
