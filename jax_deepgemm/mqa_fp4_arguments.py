"""Checks of the FP4 operands of MQA logits, at trace time."""

from typing import Any

import jax
import jax.numpy as jnp

from jax_deepgemm.alignment import ceil_div
from jax_deepgemm.block_scale import pack_scales
from jax_deepgemm.gemm_operands import as_array, as_pair, check_rank
from jax_deepgemm.mqa_arguments import check_head_dim, check_num_heads

_GRAN_K = 32
_CODES_PER_BYTE = 2


def pair_of_q(q: Any) -> tuple[Any, Any]:
  """Returns values and scales of q; scales are None for FP8.

  Raises:
    TypeError: q is no pair.
  """
  pair = as_pair("q", q)
  if pair is None:
    raise TypeError(
      "q must be a pair (values, scales), scales None for FP8, got"
      f" {type(q).__name__}"
    )
  return pair["values"], pair["scales"]


def checked_q(values: Any, scales: Any) -> tuple[jax.Array, jax.Array]:
  """Returns codes `[s, h, d / 2]` and packed scales `[s, h]`.

  Raises:
    TypeError: a dtype is wrong.
    ValueError: a shape is wrong, or h or d is not supported.
  """
  return _checked_q(values, scales, "[s, h, d / 2]", "[s, h]")


def checked_paged_q(values: Any, scales: Any) -> tuple[jax.Array, jax.Array]:
  """Returns codes `[b, n, h, d / 2]` and packed scales `[b, n, h]`.

  Raises:
    TypeError: a dtype is wrong.
    ValueError: a shape is wrong, or h or d is not supported.
  """
  return _checked_q(values, scales, "[b, next_n, h, d / 2]", "[b, next_n, h]")


def checked_kv(kv: Any, num_bytes: int) -> tuple[jax.Array, jax.Array]:
  """Returns codes `[k, d / 2]` and packed scales `[k]`.

  Args:
    kv: as it came.
    num_bytes: of a vector of q.

  Raises:
    TypeError: a form or dtype is wrong.
    ValueError: a shape is wrong.
  """
  pair = as_pair("kv", kv)
  if pair is None:
    raise TypeError(
      "kv must be a pair (values, scales) beside q in FP4, got"
      f" {type(kv).__name__}"
    )
  values = _codes("kv", pair["values"], "[k, d / 2]")
  if values.shape[1] != num_bytes:
    raise ValueError(
      f"kv must have shape [k, d / 2] with d / 2 = {num_bytes} as in q, got"
      f" {values.shape}"
    )
  return values, _packed("kv", pair["scales"], values, "[k]")


def _checked_q(
  values: Any, scales: Any, layout: str, scales_layout: str
) -> tuple[jax.Array, jax.Array]:
  values = _codes("q", values, layout)
  *_, num_heads, num_bytes = values.shape
  check_num_heads(num_heads)
  check_head_dim(_CODES_PER_BYTE * num_bytes)
  return values, _packed("q", scales, values, scales_layout)


def _codes(name: str, values: Any, layout: str) -> jax.Array:
  values = as_array(f"values of {name}", values)
  if values.dtype != jnp.int8:
    raise TypeError(
      f"values of {name} must be int8, two FP4 codes each, got"
      f" {values.dtype.name} of shape {values.shape}"
    )
  check_rank(f"values of {name}", values, layout)
  return values


def _packed(
  name: str, scales: Any, values: jax.Array, layout: str
) -> jax.Array:
  """Returns four exponents to an int32, one int32 for a vector."""
  scales = as_array(f"scales of {name}", scales)
  shape = values.shape[:-1]
  blocks = ceil_div(_CODES_PER_BYTE * values.shape[-1], _GRAN_K)
  if scales.dtype == jnp.int32:
    if scales.shape not in (shape, (*shape, 1)):
      raise ValueError(
        f"packed scales of {name} must have shape {layout} = {shape}, got"
        f" {scales.shape}"
      )
    return scales.reshape(shape)
  if scales.dtype != jnp.float32:
    raise TypeError(
      f"scales of {name} must be int32, four exponents each, or float32 powers"
      f" of two, got {scales.dtype.name}"
    )
  if scales.shape != (*shape, blocks):
    raise ValueError(
      f"float32 scales of {name} must have shape {(*shape, blocks)}, one for"
      f" {_GRAN_K} codes, got {scales.shape}"
    )
  return pack_scales(scales).reshape(shape)
