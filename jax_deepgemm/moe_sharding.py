"""`moe_mlp` of arrays whose sharding is part of their type."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AbstractMesh, NamedSharding
from jax.sharding import PartitionSpec as P

from jax_deepgemm.explicit_sharding import explicit_mesh
from jax_deepgemm.moe_arguments import MainGrads, MoeOperands

Shard = Callable[[MoeOperands, MainGrads | None, jnp.dtype], jax.Array]

_BLOCK = 128


def over_mesh(
  shard: Shard,
  operands: MoeOperands,
  main_grads: MainGrads | None,
  out_dtype: jnp.dtype,
) -> jax.Array:
  """Returns shard(operands, main_grads, out_dtype) of all devices' shards.

  Where w_gate's columns are sharded, each device computes some of gate and up
  and their part of the down projection; a sum in float32 joins the parts. Their
  shards must hold whole scale blocks, and gate and up be two arrays. All else
  is gathered: how many rows a group has is not known before the program runs.

  Args:
    shard: computes one shard.
    operands: of the layer.
    main_grads: of the weights, or None.
    out_dtype: of the result.
  """
  mesh = explicit_mesh(operands, main_grads)
  if mesh is None:
    return shard(operands, main_grads, out_dtype)
  entry = _hidden_entry(mesh, operands)
  columns, rows = P(None, None, entry), P(None, entry, None)
  specs = MoeOperands(P(None, None), columns, columns, rows, P(None))
  main_specs = MainGrads(columns, columns, rows)
  names = (
    () if entry is None else entry if isinstance(entry, tuple) else (entry,)
  )

  def mapped(operands: MoeOperands, main_grads: Any) -> jax.Array:
    if not names:
      return shard(operands, main_grads, out_dtype)
    part = shard(operands, main_grads, jnp.dtype(jnp.float32))
    return jax.lax.psum(part, names).astype(out_dtype)

  in_specs = _for_given((operands, main_grads), (specs, main_specs))
  placed = jax.tree.map(
    lambda x, spec: _placed(x, NamedSharding(mesh, spec)),
    (operands, main_grads),
    in_specs,
  )
  return jax.shard_map(
    mapped,
    mesh=mesh,
    in_specs=in_specs,
    out_specs=P(None, None),
    axis_names=frozenset(mesh.explicit_axes),
  )(*placed)


def _hidden_entry(mesh: AbstractMesh, operands: MoeOperands) -> Any:
  """Returns what the hidden columns are sharded over, None if they are not."""
  if operands.w_up is None:
    return None
  spec = (*jax.typeof(operands.w_gate).sharding.spec, None, None, None)
  entry = spec[2]
  if entry is None:
    return None
  names = entry if isinstance(entry, tuple) else (entry,)
  parts = 1
  for name in names:
    parts *= mesh.shape[name]
  hidden = operands.w_gate.shape[2]
  return entry if hidden % (parts * _BLOCK) == 0 else None


def _for_given(arrays: Any, specs: Any) -> Any:
  """Returns specs, with None where there is no array."""
  operands, main_grads = arrays
  operand_specs, main_specs = specs
  of_operands = type(operands)(
    *(
      None if x is None else s
      for x, s in zip(operands, operand_specs, strict=True)
    )
  )
  if main_grads is None:
    return of_operands, None
  return of_operands, type(main_grads)(
    *(
      None if x is None else s
      for x, s in zip(main_grads, main_specs, strict=True)
    )
  )


def _placed(x: jax.Array, sharding: NamedSharding) -> jax.Array:
  if jax.typeof(x).sharding == sharding:
    return x
  return jax.sharding.reshard(x, sharding)
