"""What MQA logits are asked for, and the keys that a row looks at."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

# Of what primitives are given; s are rows. The last operand, the scales of q,
# is there for FP4 only.
OPERAND_DIMS = ("s h d", "k d", "k", "s h", "s", "s", "s h")


@dataclasses.dataclass(frozen=True)
class MqaForm:
  """A static parameter of the primitive.

  Attributes:
    out_dtype: float32 or bfloat16.
    clean_logits: what no key has is -inf, else zero.
    max_seqlen_k: 0 for a column of every key, else row i begins with the key
      that its range begins with and has this many columns.
  """

  out_dtype: np.dtype
  clean_logits: bool
  max_seqlen_k: int

  @property
  def is_compressed(self) -> bool:
    """Whether rows begin with their first key."""
    return self.max_seqlen_k > 0

  @property
  def fill(self) -> float:
    """The logit of what lies outside of a row's range."""
    return -float("inf") if self.clean_logits else 0.0

  def width(self, num_keys: int) -> int:
    """Returns the columns of the result."""
    return self.max_seqlen_k if self.is_compressed else num_keys

  def ranges(
    self, starts: jax.Array, ends: jax.Array, num_keys: int
  ) -> tuple[jax.Array, jax.Array]:
    """Returns ranges within the keys, and within the columns if compressed."""
    starts = jnp.clip(starts, 0, num_keys)
    ends = jnp.maximum(jnp.minimum(ends, num_keys), starts)
    if self.is_compressed:
      # As a difference: the sum could overflow.
      length = jnp.minimum(ends - starts, self.max_seqlen_k)
      ends = starts + length
    return starts, ends
