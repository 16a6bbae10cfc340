"""Checks of what `moe_mlp` is given, at trace time."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jax_deepgemm import main_gradient
from jax_deepgemm.dot_arguments import checked_group_sizes, checked_operand


class MoeOperands(NamedTuple):
  """The arrays of `moe_mlp`, checked; w_up is None if w_gate holds it."""

  x: jax.Array
  w_gate: jax.Array
  w_up: jax.Array | None
  w_down: jax.Array
  group_sizes: jax.Array


class MainGrads(NamedTuple):
  """What gradients of weights are added to."""

  w_gate: jax.Array | None
  w_up: jax.Array | None
  w_down: jax.Array | None


def checked_compute_dtype(dtype: Any) -> jnp.dtype:
  """Returns the dtype; raises ValueError unless products have such a form."""
  dtype = jnp.dtype(dtype)
  if dtype not in (jnp.float8_e4m3fn, jnp.bfloat16):
    raise ValueError(
      f"compute_dtype must be float8_e4m3fn or bfloat16, got {dtype.name}"
    )
  return dtype


def checked_operands(
  x: Any, w_gate: Any, w_up: Any, w_down: Any, group_sizes: Any
) -> MoeOperands:
  """Returns the operands as JAX arrays, group_sizes in int32.

  Raises:
    TypeError: a dtype is wrong.
    ValueError: a shape is wrong.
  """
  x = checked_operand("x", x)
  w_gate = checked_operand("w_gate", w_gate)
  w_up = None if w_up is None else checked_operand("w_up", w_up)
  w_down = checked_operand("w_down", w_down)
  _check_rank("x", x, "[m, d]")
  _check_rank("w_gate", w_gate, "[g, d, f]")
  _check_rank("w_down", w_down, "[g, f, n]")
  groups, f, _ = w_down.shape
  d = x.shape[1]
  wanted = (groups, d, f if w_up is not None else 2 * f)
  columns = "f" if w_up is not None else "2 f"
  for name, w in (("w_gate", w_gate), ("w_up", w_up)):
    if w is not None and w.shape != wanted:
      raise ValueError(
        f"{name} must have shape [g, d, {columns}] = {wanted}, as x and w_down"
        f" have it, got {w.shape}"
      )
  sizes = checked_group_sizes(group_sizes, groups, x.shape[0])
  return MoeOperands(x, w_gate, w_up, w_down, sizes)


def checked_main_grads(
  main_grads: Sequence[Any] | None, operands: MoeOperands
) -> MainGrads | None:
  """Returns the main gradients, those of all weights or of none.

  Raises:
    TypeError: one is no float32 array.
    ValueError: their number or a shape is wrong.
  """
  if main_grads is None:
    return None
  weights = (operands.w_gate, operands.w_up, operands.w_down)
  if len(main_grads) != len(weights):
    raise ValueError(
      "main_grads must have one array for each of w_gate, w_up and w_down, got"
      f" {len(main_grads)}"
    )
  for name, given, w in zip(
    MainGrads._fields, main_grads, weights, strict=True
  ):
    if (given is None) != (w is None):
      raise ValueError(
        f"main_grads must be None where the weight is, and there alone; see"
        f" that of {name}"
      )
  return MainGrads(
    *(
      None if w is None else main_gradient.checked(given, w.shape)
      for given, w in zip(main_grads, weights, strict=True)
    )
  )


def _check_rank(name: str, x: jax.Array, shape: str) -> None:
  if x.ndim != len(shape.split(",")):
    raise ValueError(f"{name} must have shape {shape}, got {x.shape}")
