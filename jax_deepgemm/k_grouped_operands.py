"""Checks of K-grouped operands at trace time, and their one canonical form."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from jax_deepgemm.gemm_operands import PLAIN_DTYPES, as_array, as_pair


@dataclasses.dataclass(frozen=True)
class KGroupedOperand:
  """One operand, its shape checked.

  Attributes:
    values: the codes, or a plain array: `[sum_k, rows]`, `[rows, sum_k]`, or
      flat codes `[rows * sum_k]`.
    scales: `[blocks, rows]` float32, None for a plain array.
    rows: m or n.
    sum_k: elements of K that the array holds.
    k_axis: the axis of values that is K, None if they are flat.
  """

  values: jax.Array
  scales: jax.Array | None
  rows: int
  sum_k: int
  k_axis: int | None


def checked_fp8_operand(
  name: str, operand: Any, rows: str, k_axis: int
) -> KGroupedOperand:
  """Returns the operand of an fp8 GEMM, a pair (values, scales) or plain.

  Args:
    name: of the argument, for messages.
    operand: as the user gave it.
    rows: "m" or "n", for messages.
    k_axis: the axis of a matrix that is K; with 1 values may be flat, too.

  Raises:
    TypeError: a form or dtype is not accepted.
    ValueError: a rank or shape is wrong.
  """
  pair = as_pair(name, operand)
  if pair is None:
    return checked_plain_operand(name, operand, rows, k_axis, PLAIN_DTYPES)
  values, scales = (
    as_array(f"{part} of {name}", x) for part, x in pair.items()
  )
  if values.dtype != jnp.float8_e4m3fn:
    raise TypeError(
      f"values of {name} must be float8_e4m3fn, got {values.dtype.name} of"
      f" shape {values.shape}"
    )
  if scales.dtype != jnp.float32:
    raise TypeError(
      f"scales of {name} must be float32, got {scales.dtype.name}"
    )
  layout = f"[{rows}, blocks of K]" if k_axis else f"[blocks of K, {rows}]"
  if scales.ndim != 2:
    raise ValueError(
      f"scales of {name} must have shape {layout}, got {scales.shape}"
    )
  scales = scales.T if k_axis else scales
  if k_axis == 1 and values.ndim == 1:
    return _flat(name, values, scales)
  matrix = _matrix(f"values of {name}", values, rows, k_axis)
  if matrix.rows != scales.shape[1]:
    raise ValueError(
      f"scales of {name} must have shape {layout} with {rows} ="
      f" {matrix.rows}, got {rows} = {scales.shape[1]}"
    )
  return dataclasses.replace(matrix, scales=scales)


def checked_plain_operand(
  name: str, operand: Any, rows: str, k_axis: int, dtypes: tuple[str, ...]
) -> KGroupedOperand:
  """Returns a plain operand; arguments as in `checked_fp8_operand`.

  Args:
    name: of the argument.
    operand: as the user gave it.
    rows: "m" or "n".
    k_axis: the axis that is K.
    dtypes: names of those that are accepted.
  """
  array = as_array(name, operand)
  if array.dtype == jnp.float8_e4m3fn:
    raise TypeError(
      f"{name} of float8_e4m3fn needs its scales: pass ({name}, scales)"
    )
  if array.dtype.name not in dtypes:
    raise TypeError(
      f"{name} must be an array of {' or '.join(dtypes)}, got"
      f" {array.dtype.name} of shape {array.shape}"
    )
  return _matrix(name, array, rows, k_axis)


def _matrix(name: str, x: jax.Array, rows: str, k_axis: int) -> KGroupedOperand:
  layout = f"[{rows}, sum_k]" if k_axis else f"[sum_k, {rows}]"
  if x.ndim != 2:
    raise ValueError(f"{name} must have shape {layout}, got {x.shape}")
  return KGroupedOperand(x, None, x.shape[1 - k_axis], x.shape[k_axis], k_axis)


def _flat(name: str, values: jax.Array, scales: jax.Array) -> KGroupedOperand:
  rows = scales.shape[1]
  if rows == 0 or values.size % rows:
    raise ValueError(
      f"flat values of {name} must have a multiple of {rows} elements, the rows"
      f" of its scales, got {values.size}"
    )
  if values.size >= 2**31:
    raise ValueError(
      f"flat values of {name} must have fewer than 2**31 elements, got"
      f" {values.size}; pass a matrix instead"
    )
  return KGroupedOperand(values, scales, rows, values.size // rows, None)
