"""A layer of experts over several ranks on Hopper: five launches in one call.

dispatch   rows to the pools of their experts' ranks, in symmetric memory
L1         a product of the pool's rows, grouped by expert
cast       SwiGLU with the rows' weights, quantised
L2         a product; each row of its result goes to the rank of its token
combine    sums of each token's results
"""

import dataclasses

import jax
import jax.numpy as jnp

from jax_deepgemm.heuristics import sm90_mega_moe_combine as combine_config
from jax_deepgemm.heuristics import sm90_mega_moe_dispatch as dispatch_config
from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.mega_moe_arena import MegaMoeArena
from jax_deepgemm.heuristics.sm90_cast import CastSource
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import (
  launch,
  sm90_cast_rows,
  sm90_m_grouped_fp8_fp4_gemm,
  sm90_m_grouped_fp8_gemm,
  sm90_mega_moe_combine,
  sm90_mega_moe_dispatch,
)
from jax_deepgemm.primitives.call_chain import ChainBuffers, placed
from jax_deepgemm.primitives.cast_form import CastForm
from jax_deepgemm.primitives.launch import KernelCall

# The operands of the call, in order; num_tokens may follow.
OPERANDS = (
  "x",
  "x_scales",
  "topk_idx",
  "topk_weights",
  "l1",
  "l1_scales",
  "l2",
  "l2_scales",
  "clamp",
)
# What the layer returns; results behind them are workspace.
_RETURNED = ("y", "group_sizes", "hidden")


def run(
  x: jax.Array,
  x_scales: jax.Array,
  topk_idx: jax.Array,
  topk_weights: jax.Array,
  l1: jax.Array,
  l1_scales: jax.Array,
  l2: jax.Array,
  l2_scales: jax.Array,
  num_tokens: jax.Array | None = None,
  *,
  arena: MegaMoeArena,
  handle: int,
  clamp: float,
  fast_math: bool,
  expected_m: int,
  options: Options,
  device: Device,
) -> list[jax.Array]:
  """Returns y, group_sizes and hidden; see `mega_moe.fused`.

  Raises:
    NotImplementedError: a size is too large for a kernel.
  """
  layer = Layer(x.shape[0], arena, expected_m, options, device, fast_math)
  operands = [x, x_scales, topk_idx, topk_weights]
  operands += [l1, l1_scales, l2, l2_scales, jnp.asarray(clamp, jnp.float32)]
  if num_tokens is not None:
    operands.append(num_tokens)
  buffers = chain_buffers(layer, has_num_tokens=num_tokens is not None)
  results = launch.call(
    kernel_calls(layer, buffers),
    operands,
    list(buffers.results.values()),
    arenas=(handle,),
  )
  return results[: len(_RETURNED)]


@dataclasses.dataclass(frozen=True)
class Layer:
  """What the launches are chosen for.

  Attributes:
    num_tokens: rows of this rank's operands.
    arena: sizes, and where things lie in symmetric memory.
    expected_m: rows that an expert is expected to have; only a hint.
    options: how to launch.
    device: what to launch on.
    fast_math: the sigmoid may be approximated.
  """

  num_tokens: int
  arena: MegaMoeArena
  expected_m: int
  options: Options
  device: Device
  fast_math: bool = True

  @property
  def dispatch(self) -> dispatch_config.MegaMoeDispatchProblem:
    """The exchange of rows."""
    return dispatch_config.MegaMoeDispatchProblem(self.num_tokens, self.arena)

  @property
  def combine(self) -> combine_config.MegaMoeCombineProblem:
    """The sums of results."""
    return combine_config.MegaMoeCombineProblem(self.num_tokens, self.arena)


def chain_buffers(layer: Layer, *, has_num_tokens: bool) -> ChainBuffers:
  """Returns the buffers of the call; the arena is behind the results."""
  names = (*OPERANDS, "num_tokens") if has_num_tokens else OPERANDS
  return ChainBuffers(names, _results(layer), ("arena",))


def kernel_calls(layer: Layer, buffers: ChainBuffers) -> tuple[KernelCall, ...]:
  """Returns the five launches, in order."""
  arena, at = layer.arena, buffers.at
  pool_x = at("arena", arena.pool_x_offset)
  l1_buffers = (
    *(pool_x, at("transposed_scales"), at("l1"), at("l1_scales")),
    *(at("group_sizes"), at("hidden")),
  )
  l2_buffers = (
    *(at("activation"), at("activation_scales"), at("l2"), at("l2_scales")),
    *(at("group_sizes"), at("row_addresses")),
  )
  l1 = _product(layer, arena.hidden, 2 * arena.intermediate)
  l2 = _product(layer, arena.intermediate, arena.hidden, scatters_rows=True)
  return (
    _dispatch(layer, buffers),
    placed(l1, l1_buffers),
    _cast(layer, buffers),
    placed(l2, l2_buffers),
    _combine(layer, buffers),
  )


def _results(layer: Layer) -> dict[str, jax.ShapeDtypeStruct]:
  arena = layer.arena
  rows, intermediate = arena.capacity, arena.intermediate
  shapes = {
    "y": ((layer.num_tokens, arena.hidden), jnp.bfloat16),
    "hidden": ((rows, 2 * intermediate), jnp.bfloat16),
    "activation": ((rows, intermediate), jnp.float8_e4m3fn),
    "activation_scales": ((intermediate // 128, rows), jnp.float32),
  }
  found = {
    name: jax.ShapeDtypeStruct(shape, dtype)
    for name, (shape, dtype) in shapes.items()
  }
  found |= sm90_mega_moe_dispatch.results(
    layer.dispatch, layer.device, layer.options
  )
  workspace = [name for name in found if name not in _RETURNED]
  return {name: found[name] for name in (*_RETURNED, *workspace)}


def _dispatch(layer: Layer, buffers: ChainBuffers) -> KernelCall:
  at = buffers.at
  return sm90_mega_moe_dispatch.kernel_call(
    layer.dispatch,
    dispatch_config.choose(layer.dispatch, layer.device),
    layer.device,
    layer.options,
    sm90_mega_moe_dispatch.DispatchBuffers(
      rows=at("x"),
      scales=at("x_scales"),
      experts=at("topk_idx"),
      weights=at("topk_weights"),
      num_tokens=_num_tokens(buffers),
      arena=at("arena"),
      places=at("places"),
      group_sizes=at("group_sizes"),
      transposed_scales=at("transposed_scales"),
      row_addresses=at("row_addresses"),
      cta_counts=at("cta_counts"),
    ),
  )


def _product(
  layer: Layer, k: int, n: int, *, scatters_rows: bool = False
) -> KernelCall:
  """Returns a product of the pool's rows; others are left as they are."""
  arena = layer.arena
  is_fp4 = arena.mma_type == "fp8xfp4"
  module = sm90_m_grouped_fp8_fp4_gemm if is_fp4 else sm90_m_grouped_fp8_gemm
  return module.ragged_kernel_call(
    jax.ShapeDtypeStruct((arena.capacity, k), jnp.float8_e4m3fn),
    n,
    arena.experts_per_rank,
    layer.expected_m,
    layer.device,
    layer.options,
    scatters_rows=scatters_rows,
  )


def _cast(layer: Layer, buffers: ChainBuffers) -> KernelCall:
  arena, at = layer.arena, buffers.at
  rows = arena.capacity
  shapes = [
    *((rows, 2 * arena.intermediate), (rows,), ()),
    (arena.experts_per_rank,),
  ]
  form = CastForm(
    "live_rows",
    source=CastSource.WEIGHTED_SWIGLU,
    fast_math=layer.fast_math,
  )
  call = sm90_cast_rows.kernel_call(
    shapes, jnp.dtype(jnp.bfloat16), form, layer.options, layer.device
  )
  places = (
    *(at("hidden"), at("arena", arena.pool_weights_offset), at("clamp")),
    *(at("group_sizes"), at("activation"), at("activation_scales")),
  )
  return placed(call, places)


def _combine(layer: Layer, buffers: ChainBuffers) -> KernelCall:
  at = buffers.at
  return sm90_mega_moe_combine.kernel_call(
    layer.combine,
    combine_config.choose(layer.combine),
    layer.device,
    layer.options,
    sm90_mega_moe_combine.CombineBuffers(
      places=at("places"),
      num_tokens=_num_tokens(buffers),
      arena=at("arena"),
      sums=at("y"),
    ),
  )


def _num_tokens(buffers: ChainBuffers) -> launch.Buffer | None:
  return buffers.at("num_tokens") if buffers.has("num_tokens") else None
