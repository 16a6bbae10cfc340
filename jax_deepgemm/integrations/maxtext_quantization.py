"""MaxText's interface of quantisations, computed by this package."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jax_deepgemm.integrations.dot_hook import MIN_SIZE, DotGeneral
from jax_deepgemm.integrations.einsum_hook import einsum
from jax_deepgemm.integrations.requirement import require

_MODULE = "maxtext.layers.quantizations"
_MAXTEXT = "install MaxText as github.com/AI-Hypercomputer/maxtext says"
_FLAX = 'pip install "jax_deepgemm[flax]"'


def quantization(residuals: str = "fp8", min_size: int = MIN_SIZE) -> Any:
  """Returns a MaxText `Quantization` whose products are `fp8_dot_general`.

  What `configure_quantization` of MaxText is to return. Equal arguments give
  equal and hashable objects. There is no state: nothing enters checkpoints.

  Args:
    residuals: what is kept for the backward pass, as in `DotGeneral`.
    min_size: the smallest sizes for FP8, likewise.

  Raises:
    ImportError: MaxText or Flax is not installed.
    ValueError: residuals is wrong.
  """
  base = require(_MODULE, _MAXTEXT).Quantization
  return _subclass(base)(DotGeneral(residuals, min_size))


@functools.cache
def _subclass(base: type) -> type:
  """Returns the class of quantisations, a subclass of MaxText's."""
  operation = _operation()

  class Fp8BlockQuantization(base):
    """FP8 with a scale for 1 x 128 activations and 128 x 128 weights."""

    quant_mode = "train"

    def __init__(self, dot_general: DotGeneral) -> None:
      self.dot_general = dot_general

    def __eq__(self, other: object) -> bool:
      same_class = type(other) is type(self)
      return same_class and other.dot_general == self.dot_general

    def __hash__(self) -> int:
      return hash(self.dot_general)

    def dot_general_cls(
      self, mesh_axes: tuple[str, ...] = ()
    ) -> Callable[[], Any]:
      """Returns what makes a linen module that is called as a dot_general."""
      del mesh_axes  # Shardings are those of the operands.
      return functools.partial(operation, self.dot_general)

    def einsum(
      self, dtype: Any = jnp.float32, mesh_axes: tuple[str, ...] = ()
    ) -> Callable[..., jax.Array]:
      """Returns an einsum of two operands, converted to dtype if float."""
      del mesh_axes
      return functools.partial(
        einsum, dtype=dtype, dot_general=self.dot_general
      )

  return Fp8BlockQuantization


@functools.cache
def _operation() -> type:
  """Returns a linen module: layers wrap what they get as one."""
  linen = require("flax.linen", _FLAX)

  class Fp8DotGeneral(linen.Module):
    """A `DotGeneral` as a module without variables."""

    dot_general: DotGeneral

    @linen.compact
    def __call__(self, *args: Any, **kwargs: Any) -> jax.Array:
      return self.dot_general(*args, **kwargs)

  return Fp8DotGeneral
