"""Checks of what paged MQA logits are given, at trace time."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jax_deepgemm.gemm_operands import as_array
from jax_deepgemm.mqa_arguments import HEAD_DIMS, NUM_HEADS, checked_form
from jax_deepgemm.primitives.paged_mqa_form import PagedMqaForm

BLOCK_KVS = (32, 64)
SCALE_BYTES = 4  # Of the float32 scale of a key.


def checked_paged_form(
  clean_logits: Any, max_context_len: Any, logits_dtype: Any, is_varlen: bool
) -> PagedMqaForm:
  """Returns what is asked for.

  Raises:
    TypeError: a flag, size or dtype has the wrong type.
    ValueError: the size is out of its range.
  """
  if not isinstance(max_context_len, (int, np.integer)) or isinstance(
    max_context_len, bool
  ):
    raise TypeError(
      f"max_context_len must be an integer, got {max_context_len!r}"
    )
  if not 0 <= max_context_len < 2**31:
    raise ValueError(
      f"max_context_len must be 0 to {2**31 - 1}, got {max_context_len}"
    )
  form = checked_form(clean_logits, 0, logits_dtype)
  return PagedMqaForm(
    form.out_dtype, clean_logits, int(max_context_len), is_varlen
  )


def checked_operands(
  q: Any,
  kv_cache: Any,
  weights: Any,
  context_lens: Any,
  block_table: Any,
  indices: Any,
  schedule_meta: Any = None,
) -> tuple[jax.Array, ...]:
  """Returns the operands, without indices if they are None.

  Raises:
    TypeError: a dtype is wrong.
    ValueError: a shape is wrong.
  """
  q = checked_paged_q(q)
  cache = checked_kv_cache(kv_cache, q.shape[3])
  rows = checked_rows(
    q.shape[:3], weights, context_lens, block_table, schedule_meta, indices
  )
  return (q, cache, *rows)


def checked_paged_q(q: Any) -> jax.Array:
  """Returns q `[b, n, h, d]`.

  Raises:
    TypeError: it is no array of float8_e4m3fn.
    ValueError: it has another rank, or h or d is not supported.
  """
  q = as_array("q", q)
  if q.dtype != jnp.float8_e4m3fn:
    raise TypeError(
      f"q of paged logits must be float8_e4m3fn, got {q.dtype.name} of shape"
      f" {q.shape}"
    )
  if q.ndim != 4:
    raise ValueError(f"q must have shape [b, next_n, h, d], got {q.shape}")
  for what, size, allowed in (
    ("h, the heads of q,", q.shape[2], NUM_HEADS),
    ("d, the last dimension of q,", q.shape[3], HEAD_DIMS),
  ):
    if size not in allowed:
      names = ", ".join(map(str, allowed))
      raise ValueError(f"{what} must be one of {names}, got {size}")
  return q


def checked_kv_cache(
  kv_cache: Any, vector_bytes: int, name: str = "d"
) -> jax.Array:
  """Returns the cache `[num_blocks, block_kv, 1, d + 4]`.

  Args:
    kv_cache: as it came.
    vector_bytes: of a vector of q.
    name: what these bytes are, for messages.

  Raises:
    TypeError: it is no array of uint8.
    ValueError: its shape is another one.
  """
  kv_cache = as_array("kv_cache", kv_cache)
  if kv_cache.dtype != jnp.uint8:
    raise TypeError(f"kv_cache must be uint8, got {kv_cache.dtype.name}")
  shape = kv_cache.shape
  row = (1, vector_bytes + SCALE_BYTES)
  if len(shape) != 4 or shape[1] not in BLOCK_KVS or shape[2:] != row:
    raise ValueError(
      f"kv_cache must have shape [num_blocks, block_kv, 1, {name} + 4] with"
      f" block_kv 32 or 64 and {name} = {vector_bytes} as in q, got {shape}"
    )
  return kv_cache


def checked_int32(
  name: str, x: Any, layout: str, shape: tuple[int | None, ...]
) -> jax.Array:
  """Returns an array of integers, which only the device reads.

  Args:
    name: of the argument.
    x: the argument.
    layout: its dimensions in words, for the message.
    shape: what it must have, None for any size.

  Raises:
    TypeError: it is no int32 array.
    ValueError: its shape is another one.
  """
  if not isinstance(x, (jax.Array, np.ndarray)) or x.dtype != np.int32:
    found = getattr(x, "dtype", type(x).__name__)
    raise TypeError(f"{name} must be an int32 array on the device, got {found}")
  fits = len(x.shape) == len(shape) and all(
    wanted in (None, size) for size, wanted in zip(x.shape, shape, strict=True)
  )
  if not fits:
    names = ", ".join("any" if size is None else str(size) for size in shape)
    raise ValueError(
      f"{name} must have shape {layout} = [{names}], got {x.shape}"
    )
  return jnp.asarray(x)


def checked_rows(
  shape: tuple[int, ...],
  weights: Any,
  context_lens: Any,
  block_table: Any,
  schedule_meta: Any,
  indices: Any,
) -> tuple[jax.Array, ...]:
  """Returns weights, lengths, the table, and indices if there are some.

  Args:
    shape: `[b, next_n, h]` of q.
    weights: as it came, like all that follow.
    context_lens: keys of each row.
    block_table: blocks of each sequence.
    schedule_meta: checked, and not read.
    indices: the sequence of each row, or None.

  Raises:
    TypeError: a dtype is wrong.
    ValueError: a shape is wrong.
  """
  batch, next_n, num_heads = shape
  found = (
    checked_paged_weights(weights, (batch * next_n, num_heads)),
    checked_int32("context_lens", context_lens, "[b, next_n]", (batch, next_n)),
    checked_int32("block_table", block_table, "[b, max_blocks]", (batch, None)),
  )
  if schedule_meta is not None:
    checked_int32("schedule_meta", schedule_meta, "[num_sms + 1, 2]", (None, 2))
  if indices is None:
    return found
  return (*found, checked_indices(indices, batch, next_n))


def checked_paged_weights(weights: Any, shape: tuple[int, int]) -> jax.Array:
  """Returns the weights.

  Raises:
    TypeError: they are no float32 array.
    ValueError: there is not one for each row and head.
  """
  weights = as_array("weights", weights)
  if weights.dtype != jnp.float32:
    raise TypeError(f"weights must be float32, got {weights.dtype.name}")
  if weights.shape != shape:
    raise ValueError(
      f"weights must have shape [b * next_n, h] = {shape}, got {weights.shape}"
    )
  return weights


def checked_indices(indices: Any, batch: int, next_n: int) -> jax.Array:
  """Returns the sequence of each row.

  Raises:
    TypeError: they are no int32 array.
    ValueError: there is not one for each row, or a row is of several tokens.
  """
  if next_n != 1:
    raise ValueError(
      f"indices say the sequence of each row: next_n must be 1, got {next_n}"
    )
  return checked_int32("indices", indices, "[b]", (batch,))
