"""The pair (values, scales) that stands for one quantised matrix."""

from typing import NamedTuple

import jax
from jax import export


class ScaledArray(NamedTuple):
  """values * scales, each scale spread over the block of values it belongs to.

  A NamedTuple is a pytree and a tuple: it goes through `jax.jit`, `jax.vmap`
  and `values, scales = scaled` as it is.

  Attributes:
    values: the codes, `[..., m, n]` float8_e4m3fn, or `[..., m, n / 2]` int8
      with two FP4 codes in a byte, the even element in the low nibble.
    scales: float32, one per block, or int32 with four UE8M0 exponents along
      the last axis, the first in the lowest byte.
  """

  values: jax.Array
  scales: jax.Array


# An exported program can then take and return pairs.
export.register_namedtuple_serialization(
  ScaledArray, serialized_name="jax_deepgemm.ScaledArray"
)
