"""Checks of what MQA logits are given, at trace time."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jax_deepgemm.gemm_operands import (
  PLAIN_DTYPES,
  Operand,
  as_array,
  as_pair,
  check_rank,
)
from jax_deepgemm.primitives.mqa_form import MqaForm
from jax_deepgemm.scaled_array import ScaledArray

NUM_HEADS = (8, 16, 32, 64)
HEAD_DIMS = (32, 64, 128)
_LOGITS_DTYPES = ("float32", "bfloat16")
_MOST_COLUMNS = 2**31 - 1


def checked_form(
  clean_logits: Any, max_seqlen_k: Any, logits_dtype: Any
) -> MqaForm:
  """Returns what is asked for.

  Raises:
    TypeError: a flag, size or dtype has the wrong type.
    ValueError: the size is out of its range.
  """
  if not isinstance(clean_logits, bool):
    raise TypeError(f"clean_logits must be a bool, got {clean_logits!r}")
  if not isinstance(max_seqlen_k, int) or isinstance(max_seqlen_k, bool):
    raise TypeError(f"max_seqlen_k must be an integer, got {max_seqlen_k!r}")
  if not 0 <= max_seqlen_k <= _MOST_COLUMNS:
    raise ValueError(
      f"max_seqlen_k must be 0 to {_MOST_COLUMNS}, got {max_seqlen_k}"
    )
  dtype = jnp.dtype(logits_dtype)
  if dtype.name not in _LOGITS_DTYPES:
    raise TypeError(
      f"logits_dtype must be float32 or bfloat16, got {dtype.name}"
    )
  return MqaForm(dtype, clean_logits, max_seqlen_k)


def checked_q(q: Any) -> jax.Array:
  """Returns q `[s, h, d]`, quantised or plain.

  Raises:
    TypeError: it is no array of such a dtype.
    ValueError: it has another rank, or h or d is not supported.
  """
  q = as_array("q", q)
  if q.dtype.name not in ("float8_e4m3fn", *PLAIN_DTYPES):
    raise TypeError(
      "q must be float8_e4m3fn, or plain bfloat16 or float32, got"
      f" {q.dtype.name} of shape {q.shape}"
    )
  check_rank("q", q, "[s, h, d]")
  check_num_heads(q.shape[1])
  check_head_dim(q.shape[2])
  return q


def check_num_heads(num_heads: int) -> None:
  """Returns nothing; raises ValueError unless so many heads are supported."""
  _check_size("h, the heads of q,", num_heads, NUM_HEADS)


def check_head_dim(head_dim: int) -> None:
  """Returns nothing; raises ValueError unless d is supported."""
  _check_size("d, the last dimension of q,", head_dim, HEAD_DIMS)


def checked_kv(kv: Any, head_dim: int) -> Operand:
  """Returns kv as a pair with scales `[k]`, or a plain `[k, d]`.

  Raises:
    TypeError: a form or dtype is not accepted.
    ValueError: a shape is wrong.
  """
  pair = as_pair("kv", kv)
  if pair is None:
    values = as_array("kv", kv)
    if values.dtype == jnp.float8_e4m3fn:
      raise TypeError("kv of float8_e4m3fn needs its scales: pass (kv, scales)")
    if values.dtype.name not in PLAIN_DTYPES:
      raise TypeError(
        "kv must be a pair (values, scales), or plain bfloat16 or float32, got"
        f" {values.dtype.name} of shape {values.shape}"
      )
    _check_keys(values, head_dim)
    return values
  values, scales = (as_array(f"{part} of kv", x) for part, x in pair.items())
  if values.dtype != jnp.float8_e4m3fn:
    raise TypeError(
      f"values of kv must be float8_e4m3fn, got {values.dtype.name} of shape"
      f" {values.shape}"
    )
  _check_keys(values, head_dim)
  if scales.dtype != jnp.float32:
    raise TypeError(f"scales of kv must be float32, got {scales.dtype.name}")
  if scales.shape != values.shape[:1]:
    raise ValueError(
      f"scales of kv must have shape [k] = {values.shape[:1]}, got"
      f" {scales.shape}"
    )
  return ScaledArray(values, scales)


def checked_rows(
  weights: Any, starts: Any, ends: Any, shape: tuple[int, ...]
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """Returns weights, starts and ends, for rows and heads of `shape`.

  Raises:
    TypeError: a dtype is wrong.
    ValueError: a shape is wrong.
  """
  return (
    checked_weights(weights, shape),
    checked_range("cu_seq_len_k_start", starts, shape[0]),
    checked_range("cu_seq_len_k_end", ends, shape[0]),
  )


def checked_weights(weights: Any, shape: tuple[int, ...]) -> jax.Array:
  """Returns the weights.

  Raises:
    TypeError: they are no float32 array.
    ValueError: they have not the shape of q's first dimensions.
  """
  weights = as_array("weights", weights)
  if weights.dtype != jnp.float32:
    raise TypeError(f"weights must be float32, got {weights.dtype.name}")
  if weights.shape != shape:
    raise ValueError(
      f"weights must have shape [s, h] = {shape}, got {weights.shape}"
    )
  return weights


def checked_range(name: str, x: Any, num_rows: int) -> jax.Array:
  """Returns starts or ends of ranges.

  Raises:
    TypeError: they are no int32 array.
    ValueError: there is not one for each row.
  """
  if not isinstance(x, (jax.Array, np.ndarray)) or x.dtype != np.int32:
    found = getattr(x, "dtype", type(x).__name__)
    raise TypeError(f"{name} must be an int32 array on the device, got {found}")
  if x.shape != (num_rows,):
    raise ValueError(
      f"{name} must have shape [s] = {(num_rows,)}, got {x.shape}"
    )
  return jnp.asarray(x)


def _check_keys(values: jax.Array, head_dim: int) -> None:
  if values.ndim != 2 or values.shape[1] != head_dim:
    raise ValueError(
      f"kv must have shape [k, d] with d = {head_dim} as in q, got"
      f" {values.shape}"
    )


def _check_size(what: str, size: int, allowed: Sequence[int]) -> None:
  if size not in allowed:
    names = ", ".join(map(str, allowed))
    raise ValueError(f"{what} must be one of {names}, got {size}")
