"""Gradients of weights that are added to a float32 array: main gradients.

A product takes `main_grad`, of the weight's shape, and does not read it. Its
cotangent is main_grad + dW, and the weight's own is zero: differentiating in
main_grad instead of the weight accumulates, in the wgrad GEMM and in place if
the array is donated.

That cotangent is no linear function of dY, so what JAX sums of its own must be
one summand: main_grad enters one product, which is run once.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from jax_deepgemm.primitives.gemm_partitioning import contract_shards
from jax_deepgemm.primitives.varying import to_common_varying, varying_axes

_Operands = TypeVar("_Operands")


def checked(main_grad: Any, shape: tuple[int, ...]) -> jax.Array | None:
  """Returns main_grad as a JAX array, or None.

  Args:
    main_grad: the argument.
    shape: of rhs.

  Raises:
    TypeError: it is no array of float32.
    ValueError: it has another shape.
  """
  if main_grad is None:
    return None
  found = getattr(main_grad, "dtype", type(main_grad).__name__)
  if not isinstance(main_grad, (jax.Array, np.ndarray)) or found != jnp.float32:
    raise TypeError(f"main_grad must be a float32 array or None, got {found}")
  if main_grad.shape != shape:
    raise ValueError(
      f"main_grad must have the shape of rhs, {shape}, got {main_grad.shape}"
    )
  return jnp.asarray(main_grad)


def primal(
  main_grad: Any, weight_is_perturbed: bool
) -> tuple[jax.Array | None, bool, bool]:
  """Returns main_grad without its mark, whether dW is wanted, and whether lost.

  Args:
    main_grad: as a rule with symbolic zeros gets it, or None.
    weight_is_perturbed: the weight is differentiated.
  """
  if main_grad is None:
    return None, weight_is_perturbed, False
  is_lost = weight_is_perturbed and not main_grad.perturbed
  return main_grad.value, main_grad.perturbed, is_lost


def check_not_lost(is_lost: bool) -> None:
  """Returns nothing; raises if the weight's gradient has nowhere to go.

  For the backward rule: JAX cannot use a traced product any more once its
  forward rule has raised.

  Raises:
    ValueError: the weight is differentiated and main_grad is not.
  """
  if is_lost:
    raise ValueError(
      "rhs is differentiated and main_grad is not: the gradient of rhs goes to"
      " main_grad, so differentiate in that (jax.grad's argnums), or leave it"
      " away"
    )


def accumulated(
  product: Callable[[_Operands, jax.Array | None, Any], jax.Array],
  operands: _Operands,
  main_grad: jax.Array | None,
  dtype: Any,
) -> jax.Array:
  """Returns main_grad + product, in float32; or the product in `dtype`.

  Inside `shard_map`, products of shards are summed first where main_grad is
  the same on all devices: it must be added once.

  Args:
    product: (operands, c, dtype) -> c + product.
    operands: of the product.
    main_grad: float32, or None.
    dtype: of the result without main_grad.
  """
  if main_grad is None:
    return product(operands, None, dtype)
  main_grad = _of_one_product(main_grad, operands)
  summed = varying_axes(operands) - varying_axes(main_grad)
  if not summed:
    operands, main_grad = to_common_varying((operands, main_grad))
  return contract_shards(
    lambda c, out_dtype: product(operands, c, out_dtype),
    main_grad,
    sorted(summed),
    jnp.dtype("float32"),
  )


@jax.custom_batching.custom_vmap
def _of_one_product(main_grad: jax.Array, operands: Any) -> jax.Array:
  """Returns main_grad; refuses one that a vmapped product would add often."""
  del operands
  return main_grad


@_of_one_product.def_vmap
def _batched(
  axis_size: int, in_batched: Any, main_grad: jax.Array, operands: Any
) -> tuple[jax.Array, bool]:
  del axis_size
  is_batched, *others = jax.tree.leaves(in_batched)
  if any(others) and not is_batched:
    raise ValueError(
      "main_grad is shared by the elements of a vmap, whose sum would hold it"
      " once for each: batch it too, or give the op all rows at once"
    )
  return _of_one_product(main_grad, operands), is_batched
