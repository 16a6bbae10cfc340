"""What paged MQA logits are asked for, and the keys that a row looks at."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

_SCALE_BYTES = 4


# Of what primitives are given: q, pages, weights, lengths, table, the scales of
# q of FP4, and indices if rows have some; b are sequences.
FP8_OPERAND_DIMS = ("b n h d", "p x", "b n h", "b n", "b m", "b")
FP4_OPERAND_DIMS = ("b n h d", "p x", "b n h", "b n", "b m", "b n h", "b")


@dataclasses.dataclass(frozen=True)
class PagedMqaForm:
  """A static parameter of the primitive.

  Attributes:
    out_dtype: float32 or bfloat16.
    clean_logits: what no key has is -inf, else undefined: zero in jax.numpy.
    max_context_len: columns of the result.
    is_varlen: rows have the index of their sequence.
  """

  out_dtype: np.dtype
  clean_logits: bool
  max_context_len: int
  is_varlen: bool

  @property
  def fill(self) -> float:
    """The logit beyond a row's keys."""
    return -float("inf") if self.clean_logits else 0.0

  def most_keys(self, num_keys: int) -> int:
    """Returns how many keys a row can have, `num_keys` of them in its table."""
    return min(num_keys, self.max_context_len)

  def lengths(self, context_lens: jax.Array, num_keys: int) -> jax.Array:
    """Returns how many keys each row has."""
    return jnp.clip(context_lens, 0, self.most_keys(num_keys))


@dataclasses.dataclass(frozen=True)
class PagedTopkForm:
  """A static parameter of the primitive that chooses keys.

  Attributes:
    k: how many keys are wanted of each row, at most `width`.
    width: the most keys that a row can have.
    is_varlen: rows have the index of their sequence.
  """

  k: int
  width: int
  is_varlen: bool

  def logits(self, multiple: int = 1) -> PagedMqaForm:
    """Returns the form of the logits, with a multiple of columns."""
    columns = -(-self.width // multiple) * multiple
    return PagedMqaForm(np.dtype(np.float32), False, columns, self.is_varlen)


def block_kv_of(page_bytes: int, vector_bytes: int) -> int:
  """Returns the keys of a page of so many bytes."""
  return page_bytes // (vector_bytes + _SCALE_BYTES)
