"""A layer of experts over several ranks, fused: a primitive of CUDA alone.

What computes it elsewhere needs collectives, which no lowering rule can bind;
`mega_moe_implementation` chooses before.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import batching, mlir, xla
from jax.sharding import PartitionSpec

from jax_deepgemm.heuristics.mega_moe_arena import MegaMoeArena
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import sm90_mega_moe
from jax_deepgemm.primitives.target import target_device

mega_moe_p = Primitive("mega_moe")
mega_moe_p.multiple_results = True

_WAY_OUT = "use options(implementation='reference') to compute it step by step"


def fused(
  *operands: jax.Array | None,
  arena: MegaMoeArena,
  handle: int,
  clamp: float,
  fast_math: bool,
  expected_m: int,
  options: Options,
) -> list[jax.Array]:
  """Returns y `[t, hidden]`, group_sizes `[g]` and hidden `[capacity, 2 i]`.

  Args:
    *operands: codes `[t, hidden]` of tokens with scales, topk_idx int32
      `[t, top_k]`, topk_weights float32 likewise, codes `[g, 2 i, hidden]` of
      the first weights with scales, `[g, hidden, i]` of the second, and
      num_tokens int32 `[1]` or None. In bfloat16 there are no scales.
    arena: sizes, and where things lie in symmetric memory.
    handle: of that memory.
    clamp: bound of gate and up, or infinity.
    fast_math: the sigmoid may be approximated.
    expected_m: rows that an expert is expected to have; only a hint.
    options: in force at the call.
  """
  return mega_moe_p.bind(
    *(x for x in operands if x is not None),
    arena=arena,
    handle=handle,
    clamp=clamp,
    fast_math=fast_math,
    expected_m=expected_m,
    options=options,
  )


@mega_moe_p.def_abstract_eval
def _abstract_eval(
  *operands: ShapedArray, arena: MegaMoeArena, **params: Any
) -> list[ShapedArray]:
  del params
  x = operands[0]
  shapes = (
    (x.shape, jnp.bfloat16),
    ((arena.experts_per_rank,), jnp.int32),
    ((arena.capacity, 2 * arena.intermediate), jnp.bfloat16),
  )
  # From an operand, so that inside shard_map the results vary as it does.
  return [
    x.update(
      shape=shape,
      dtype=jnp.dtype(dtype),
      weak_type=False,
      sharding=x.sharding.update(spec=PartitionSpec(*(None,) * len(shape))),
    )
    for shape, dtype in shapes
  ]


def _lower_default(
  ctx: mlir.LoweringRuleContext, *operands: mlir.ir.Value, **params: Any
) -> Any:
  del operands, params
  platforms = ctx.platforms or ctx.module_context.platforms
  raise NotImplementedError(
    f"mega_moe has no kernel for {' and '.join(platforms)}, only for CUDA;"
    f" use options(implementation='auto'), or {_WAY_OUT[4:]}"
  )


def _lower_cuda(
  ctx: mlir.LoweringRuleContext,
  *operands: mlir.ir.Value,
  options: Options,
  **params: Any,
) -> Any:
  """Lowers for CUDA, on any machine: the GPU comes from `options` by name.

  Raises:
    NotImplementedError: the GPU is not Hopper, or XLA cuts the program along
      some axes of the mesh.
  """
  device = target_device(options)
  if not device.is_hopper:
    raise NotImplementedError(
      f"mega_moe has no kernel for {device.name}, only for Hopper; {_WAY_OUT}"
    )
  if _is_partitioned_by_xla(ctx):
    raise NotImplementedError(
      "mega_moe has no kernel inside a shard_map with axes that XLA shards by"
      " itself: make all axes of the mesh manual, or"
      f" {_WAY_OUT}"
    )
  run = functools.partial(
    sm90_mega_moe.run, options=options, device=device, **params
  )
  return mlir.lower_fun(run, multiple_results=True)(ctx, *operands)


def _is_partitioned_by_xla(ctx: mlir.LoweringRuleContext) -> bool:
  context = ctx.module_context.axis_context
  if not isinstance(context, mlir.SPMDAxisContext):
    return False
  return not context.mesh.abstract_mesh.update_axis_types(
    dict.fromkeys(context.manual_axes, jax.sharding.AxisType.Manual)
  ).are_all_axes_manual


def _batch(*_: Any, **__: Any) -> Any:
  raise NotImplementedError(
    "mega_moe has no vmap: rows of a batch are more tokens, so reshape x to"
    " [tokens, hidden]"
  )


mega_moe_p.def_impl(functools.partial(xla.apply_primitive, mega_moe_p))
batching.primitive_batchers[mega_moe_p] = _batch
mlir.register_lowering(mega_moe_p, _lower_default)
mlir.register_lowering(mega_moe_p, _lower_cuda, platform="cuda")
