"""What is said where there is no kernel, always with a way out."""

import contextlib
from collections.abc import Iterator

from jax.interpreters import mlir

from jax_deepgemm.options import Options


def check_reference_will_do(
  name: str, ctx: mlir.LoweringRuleContext, options: Options
) -> None:
  """Returns nothing; raises if `options` insist on a kernel outside of CUDA.

  Args:
    name: of the operation.
    ctx: of a lowering for another platform than CUDA.
    options: in force at the call.

  Raises:
    NotImplementedError: `options.implementation` is "kernel".
  """
  if options.implementation == "kernel":
    platforms = ctx.platforms or ctx.module_context.platforms
    raise NotImplementedError(
      f"{name} has no kernel for {' and '.join(platforms)}, only for CUDA; use"
      " options(implementation='auto') or"
      " options(implementation='reference') to compute it with jax.numpy"
    )


@contextlib.contextmanager
def reference_as_way_out() -> Iterator[None]:
  """Returns a context whose NotImplementedError names the way out."""
  try:
    yield
  except NotImplementedError as error:
    raise NotImplementedError(
      f"{error}; options(implementation='reference') computes it with jax.numpy"
    ) from error
