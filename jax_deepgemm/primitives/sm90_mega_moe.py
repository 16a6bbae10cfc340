"""A layer of experts over several ranks on Hopper: five launches in one call.

dispatch   rows to the pools of their experts' ranks, in symmetric memory
L1         a product of the pool's rows, grouped by expert
cast       SwiGLU with the rows' weights, quantised
L2         a product; each row of its result goes to the rank of its token
combine    sums of each token's results

In bfloat16 nothing is quantised, and there are no scales.
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
  sm90_m_grouped_bf16_gemm,
  sm90_m_grouped_fp8_fp4_gemm,
  sm90_m_grouped_fp8_gemm,
  sm90_mega_moe_combine,
  sm90_mega_moe_dispatch,
)
from jax_deepgemm.primitives.call_chain import ChainBuffers, placed
from jax_deepgemm.primitives.cast_form import CastForm
from jax_deepgemm.primitives.launch import KernelCall

# The operands of the call, in order, those with scales if they are quantised;
# num_tokens may follow.
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
_PRODUCTS = {
  "fp8xfp8": sm90_m_grouped_fp8_gemm,
  "fp8xfp4": sm90_m_grouped_fp8_fp4_gemm,
  "bf16xbf16": sm90_m_grouped_bf16_gemm,
}
# What the layer returns; results behind them are workspace.
_RETURNED = ("y", "group_sizes", "hidden")


def operand_names(arena: MegaMoeArena) -> tuple[str, ...]:
  """Returns those of `OPERANDS` that a layer has."""
  return tuple(
    name
    for name in OPERANDS
    if arena.has_scales or not name.endswith("_scales")
  )


def run(
  *arrays: jax.Array,
  arena: MegaMoeArena,
  handle: int,
  clamp: float,
  fast_math: bool,
  expected_m: int,
  options: Options,
  device: Device,
) -> list[jax.Array]:
  """Returns y, group_sizes and hidden; `arrays` are those of `mega_moe.fused`.

  Raises:
    NotImplementedError: a size is too large for a kernel.
  """
  num_tokens = arrays[0].shape[0]
  layer = Layer(num_tokens, arena, expected_m, options, device, fast_math)
  place = operand_names(arena).index("clamp")
  operands = list(arrays)
  operands.insert(place, jnp.asarray(clamp, jnp.float32))
  buffers = chain_buffers(layer, has_num_tokens=len(arrays) > place)
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
  names = operand_names(layer.arena)
  if has_num_tokens:
    names = (*names, "num_tokens")
  return ChainBuffers(names, _results(layer), ("arena",))


def kernel_calls(layer: Layer, buffers: ChainBuffers) -> tuple[KernelCall, ...]:
  """Returns the five launches, in order."""
  arena, at = layer.arena, buffers.at
  pool_x = at("arena", arena.pool_x_offset)
  l1_buffers = (
    *_factors(buffers, pool_x, "transposed_scales", "l1"),
    *(at("group_sizes"), at("hidden")),
  )
  l2_buffers = (
    *_factors(buffers, at("activation"), "activation_scales", "l2"),
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
    "activation": ((rows, intermediate), _row_dtype(arena)),
  }
  if arena.has_scales:
    scales = (intermediate // 128, rows)
    shapes["activation_scales"] = (scales, jnp.float32)
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
      scales=_if_any(buffers, "x_scales"),
      experts=at("topk_idx"),
      weights=at("topk_weights"),
      num_tokens=_if_any(buffers, "num_tokens"),
      arena=at("arena"),
      places=at("places"),
      group_sizes=at("group_sizes"),
      transposed_scales=_if_any(buffers, "transposed_scales"),
      row_addresses=at("row_addresses"),
      cta_counts=at("cta_counts"),
    ),
  )


def _product(
  layer: Layer, k: int, n: int, *, scatters_rows: bool = False
) -> KernelCall:
  """Returns a product of the pool's rows; others are left as they are."""
  arena = layer.arena
  return _PRODUCTS[arena.mma_type].ragged_kernel_call(
    jax.ShapeDtypeStruct((arena.capacity, k), _row_dtype(arena)),
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
    "live_rows" if arena.has_scales else "live_values",
    source=CastSource.WEIGHTED_SWIGLU,
    fast_math=layer.fast_math,
  )
  call = sm90_cast_rows.kernel_call(
    shapes, jnp.dtype(jnp.bfloat16), form, layer.options, layer.device
  )
  places = (
    *(at("hidden"), at("arena", arena.pool_weights_offset), at("clamp")),
    *(at("group_sizes"), at("activation")),
  )
  if arena.has_scales:
    places = (*places, at("activation_scales"))
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
      num_tokens=_if_any(buffers, "num_tokens"),
      arena=at("arena"),
      sums=at("y"),
    ),
  )


def _row_dtype(arena: MegaMoeArena) -> jnp.dtype:
  """Returns the dtype of rows that are multiplied."""
  return jnp.dtype(jnp.float8_e4m3fn if arena.has_scales else jnp.bfloat16)


def _factors(
  buffers: ChainBuffers, rows: launch.Buffer, scales: str, weight: str
) -> list[launch.Buffer]:
  """Returns the factors of a product, each with its scales if it has any."""
  found = [
    *(rows, _if_any(buffers, scales)),
    *(buffers.at(weight), _if_any(buffers, f"{weight}_scales")),
  ]
  return [buffer for buffer in found if buffer is not None]


def _if_any(buffers: ChainBuffers, name: str) -> launch.Buffer | None:
  return buffers.at(name) if buffers.has(name) else None
