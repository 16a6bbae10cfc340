"""The dot product that layers of other libraries call.

Such layers have one hook for all their products, so this one takes whatever
`jax.lax.dot_general` takes, and a rule says what is computed in FP8.
"""

import dataclasses
import math
from typing import Any

import jax

from jax_deepgemm.dot_arguments import DTYPES
from jax_deepgemm.dot_general import fp8_dot_general
from jax_deepgemm.residuals import checked_policy

# One scale covers 128 elements: smaller products are mostly padding.
MIN_SIZE = 128
# Names of one precision.
_DEFAULT_PRECISIONS = (
  jax.lax.Precision.DEFAULT,
  "default",
  "fastest",
  "bfloat16",
)


@dataclasses.dataclass(frozen=True)
class DotGeneral:
  """A `jax.lax.dot_general` that computes in FP8 what FP8 is good for.

  It calls `jax_deepgemm.fp8_dot_general` if

  * both operands, and preferred_element_type if given, are bfloat16, float16 or
    float32;
  * precision is None or DEFAULT;
  * at least min_size elements are contracted, and the free dimensions of rhs,
    the features, have at least min_size elements together;

  and otherwise `jax.lax.dot_general`, with the arguments as they came. All this
  is known when a program is traced, so that a layer computes in the same way in
  every step and on every device.

  Hashable and comparable, as attributes of modules have to be. `DotGeneral`, or
  `functools.partial(DotGeneral, residuals="bf16")`, serves where something is
  asked for that makes such functions (`dot_general_cls`).

  Attributes:
    residuals: what is kept for the backward pass, "fp8" or "bf16"; see
      `fp8_dot_general`.
    min_size: the smallest sizes for FP8; 0 for all.

  Raises:
    ValueError: residuals is neither.
  """

  residuals: str = "fp8"
  min_size: int = MIN_SIZE

  def __post_init__(self) -> None:
    checked_policy(self.residuals)

  def __call__(
    self,
    lhs: jax.Array,
    rhs: jax.Array,
    dimension_numbers: Any,
    precision: Any = None,
    preferred_element_type: jax.typing.DTypeLike | None = None,
    **kwargs: Any,
  ) -> jax.Array:
    """Returns `jax.lax.dot_general` of the arguments, in FP8 by the rule."""
    arguments = (lhs, rhs, dimension_numbers, precision, preferred_element_type)
    (_, contracting), (_, batch) = dimension_numbers
    contracted = math.prod(rhs.shape[d] for d in contracting)
    taken = contracted * math.prod(rhs.shape[d] for d in batch)
    features = rhs.size // taken if taken else 0
    if (
      min(contracted, features) >= self.min_size
      and is_default(precision)
      and has_dtype(lhs, rhs, preferred_element_type)
    ):
      return fp8_dot_general(*arguments, residuals=self.residuals, **kwargs)
    return jax.lax.dot_general(*arguments, **kwargs)


def is_default(precision: Any) -> bool:
  """Whether no more than the default precision is asked for."""
  if isinstance(precision, (tuple, list)):
    return all(is_default(one) for one in precision)
  return precision is None or precision in _DEFAULT_PRECISIONS


def has_dtype(lhs: Any, rhs: Any, preferred: Any) -> bool:
  """Whether FP8 computes with these dtypes."""
  dtypes = [lhs.dtype, rhs.dtype]
  if preferred is not None:
    dtypes.append(jax.numpy.dtype(preferred))
  return all(dtype.name in DTYPES for dtype in dtypes)


dot_general = DotGeneral()
