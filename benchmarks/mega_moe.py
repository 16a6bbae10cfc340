"""Times fp8_mega_moe beside its steps, with FP4 weights and in bfloat16, on 1
Hopper GPU or more.

python -m benchmarks.mega_moe
python -m benchmarks.mega_moe --only-layer flash --only-tokens 8 2048
python -m benchmarks.mega_moe --pdl

On fewer than 4 GPUs a layer has as many experts as so many of 4 GPUs hold, so
that a GPU computes what one of 4 does, and sends less.
"""

import argparse
import functools
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

import jax_deepgemm as jd
from benchmarks import command
from jax_deepgemm.mega_moe_buffer import SymmBuffer
from jax_deepgemm.testing import bench

_METHOD = (
  "one GPU: from the first kernel's start to the last one's end, from JAX's"
  " profiler, caches flushed before each run; several: wall-clock time of a"
  " jitted loop of 10 calls that depend on each other, divided by 10. Normal"
  " random x and codes, and experts drawn evenly. steps_us is ep_dispatch, two"
  " grouped products, SwiGLU's cast between them and ep_combine; fp4_us is"
  " fp8_fp4_mega_moe, bf16_us bf16_mega_moe. All but the latter cast x."
  " floor_us is the larger of reading the weights of chosen experts at 4.3 TB/s"
  " and 6 rows hidden intermediate operations at 1400 TFLOP/s"
)
_LOOP = 10
_RANKS = 4  # That a layer's experts are meant for.
_BYTES_PER_US = 4.3e6
_OPERATIONS_PER_US = 1.4e9


class Layer(NamedTuple):
  """A mixture of experts: experts of all ranks, choices of a token, sizes."""

  num_experts: int
  top_k: int
  hidden: int
  intermediate: int


_LAYERS = {
  "flash": Layer(256, 6, 4096, 2048),
  "pro": Layer(384, 6, 7168, 3072),
}
_FUNCTIONS = {
  "fp8xfp8": jd.fp8_mega_moe,
  "fp8xfp4": jd.fp8_fp4_mega_moe,
  "bf16xbf16": jd.bf16_mega_moe,
}
_TOKENS = (8, 32, 128, 512, 2048, 8192)


def main(argv: Sequence[str] | None = None) -> int:
  parser = command.parser("mega_moe", num_tests=10)
  parser.add_argument("--only-layer", choices=_LAYERS)
  parser.add_argument("--only-tokens", type=int, nargs="+", metavar="N")
  parser.add_argument("--pdl", action="store_true")
  arguments = parser.parse_args(argv)
  command.need_hopper()
  ranks = len(jax.devices())
  command.record(
    arguments,
    f"mega_moe_{ranks}",
    _METHOD,
    _rows(arguments, ranks),
    _line,
    ranks=ranks,
    pdl=arguments.pdl,
  )
  return 0


def _rows(
  arguments: argparse.Namespace, ranks: int
) -> Iterator[dict[str, Any]]:
  for name, whole in _LAYERS.items():
    if arguments.only_layer not in (None, name):
      continue
    layer = whole._replace(num_experts=whole.num_experts * ranks // _RANKS)
    weights = expert_weights(layer)
    for tokens in arguments.only_tokens or _TOKENS:
      with jd.options(pdl=arguments.pdl):
        row = _row(layer, tokens, weights, arguments.num_tests)
      yield {"layer": name, **row}


def _row(
  layer: Layer, tokens: int, weights: dict[str, Any], num_tests: int
) -> dict[str, Any]:
  mesh = expert_mesh()
  inputs = operands(layer, tokens)
  times, num_bytes = {}, {}
  for mma_type in _FUNCTIONS:
    with jd.get_symm_buffer_for_mega_moe(
      mesh,
      "expert",
      layer.num_experts,
      tokens,
      layer.top_k,
      layer.hidden,
      layer.intermediate,
      mma_type=mma_type,
    ) as buffer:
      step = functools.partial(mega, buffer)
      args = (*inputs, *weights[mma_type])
      times[mma_type] = _times(program(step, mesh), args, num_tests)
      num_bytes[mma_type] = buffer.num_bytes
  step = functools.partial(steps, layer)
  args = (*inputs, *weights["fp8xfp8"])
  times["steps"] = _times(program(step, mesh), args, num_tests)
  mega_us, kernels = times["fp8xfp8"]
  return {
    **layer._asdict(),
    "tokens": tokens,
    "us_median": round(mega_us, 1),
    "steps_us": round(times["steps"][0], 1),
    "fp4_us": round(times["fp8xfp4"][0], 1),
    "bf16_us": round(times["bf16xbf16"][0], 1),
    "floor_us": round(floor_us(layer, tokens), 1),
    "num_bytes": num_bytes["fp8xfp8"],
    "kernels": kernels,
    "bf16_kernels": times["bf16xbf16"][1],
  }


def floor_us(layer: Layer, tokens: int) -> float:
  """Returns the microseconds below which no rank can be."""
  rows = tokens * layer.top_k
  experts = layer.num_experts // len(jax.devices())
  missed = (1 - 1 / experts) ** rows  # The share that nobody chooses.
  of_expert = 3 * layer.hidden * layer.intermediate
  memory = (1 - missed) * experts * of_expert / _BYTES_PER_US
  return max(memory, 2 * rows * of_expert / _OPERATIONS_PER_US)


def expert_mesh() -> Mesh:
  """Returns all devices, each with a part of the experts."""
  return jax.make_mesh(
    (len(jax.devices()),), ("expert",), axis_types=(AxisType.Auto,)
  )


def expert_weights(layer: Layer) -> dict[str, tuple[Any, Any]]:
  """Returns gate and up, and down, by expert: FP8, FP4 and bfloat16."""
  shapes = (
    (2 * layer.intermediate, layer.hidden),
    (layer.hidden, layer.intermediate),
  )
  sharding = NamedSharding(expert_mesh(), P("expert"))
  keys = jax.random.split(jax.random.key(0), (2, layer.num_experts))

  @functools.partial(jax.jit, static_argnums=1, out_shardings=sharding)
  def draw(keys: jax.Array, shape: tuple[int, int]) -> Any:
    def one(key: jax.Array) -> tuple[jax.Array, jax.Array]:
      codes = jax.random.normal(key, shape, jnp.bfloat16)
      scales = jnp.full((shape[0] // 128, shape[1] // 128), 0.02, jnp.float32)
      return codes.astype(jnp.float8_e4m3fn), scales

    return jax.lax.map(one, keys)

  @functools.partial(jax.jit, static_argnums=1, out_shardings=sharding)
  def draw_fp4(keys: jax.Array, shape: tuple[int, int]) -> Any:
    n, k = shape

    def one(key: jax.Array) -> tuple[jax.Array, jax.Array]:
      codes = jax.random.bits(key, (n, k // 2), jnp.uint8)
      # Four exponents of 2^-6.
      scales = jnp.full((n, k // 128), 0x79797979, jnp.int32)
      return jax.lax.bitcast_convert_type(codes, jnp.int8), scales

    return jax.lax.map(one, keys)

  @functools.partial(jax.jit, static_argnums=1, out_shardings=sharding)
  def draw_bf16(keys: jax.Array, shape: tuple[int, int]) -> jax.Array:
    def one(key: jax.Array) -> jax.Array:
      return jax.random.normal(key, shape, jnp.bfloat16) * jnp.bfloat16(0.02)

    return jax.lax.map(one, keys)

  return {
    "fp8xfp8": (draw(keys[0], shapes[0]), draw(keys[1], shapes[1])),
    "fp8xfp4": (draw_fp4(keys[0], shapes[0]), draw_fp4(keys[1], shapes[1])),
    "bf16xbf16": (draw_bf16(keys[0], shapes[0]), draw_bf16(keys[1], shapes[1])),
  }


def operands(layer: Layer, tokens: int) -> tuple[jax.Array, ...]:
  """Returns x, what its tokens chose, and with which weights, of all ranks."""
  total = tokens * len(jax.devices())
  x_key, score_key, weight_key = jax.random.split(jax.random.key(1), 3)
  x = jax.random.normal(x_key, (total, layer.hidden), jnp.bfloat16)
  scores = jax.random.uniform(score_key, (total, layer.num_experts))
  _, chosen = jax.lax.top_k(scores, layer.top_k)
  weights = jax.random.uniform(weight_key, chosen.shape, jnp.float32)
  sharding = NamedSharding(expert_mesh(), P("expert"))
  return jax.device_put((x, chosen.astype(jnp.int32), weights), sharding)


def program(step: Callable[..., jax.Array], mesh: Mesh) -> Callable[..., Any]:
  """Returns `step` on each device of the mesh."""
  return jax.shard_map(
    step, mesh=mesh, in_specs=P("expert"), out_specs=P("expert")
  )


def mega(buffer: SymmBuffer, x: jax.Array, *rest: Any) -> jax.Array:
  """Returns y by the fused operation that the buffer is for."""
  return _FUNCTIONS[buffer.arena.mma_type](x, *rest, buffer)


def steps(
  layer: Layer,
  x: jax.Array,
  chosen: jax.Array,
  weights: jax.Array,
  l1: Any,
  l2: Any,
) -> jax.Array:
  """Returns y by the package's operations, the weights applied at the end."""
  found = jd.ep_dispatch(
    x,
    chosen,
    num_experts=layer.num_experts,
    axis_name="expert",
    dequantize=False,
  )
  product = functools.partial(
    jd.m_grouped_fp8_gemm_nt_ragged, group_sizes=found.group_sizes
  )
  hidden = product(found.tokens, l1, out_dtype=jnp.bfloat16)
  out = product(jd.swiglu_cast_to_fp8(hidden), l2, out_dtype=jnp.bfloat16)
  return jd.ep_combine(out, found, weights)


def _times(
  function: Callable[..., Any], args: tuple[Any, ...], num_tests: int
) -> tuple[float, dict[str, float]]:
  """Returns microseconds of a call, and on one GPU those of its kernels."""
  if len(jax.devices()) == 1:
    found = bench(jax.jit(function), *args, num_tests=num_tests)
    kernels = {
      name: round(times.median, 2) for name, times in found.kernels.items()
    }
    return found.run.median, kernels

  @jax.jit
  def looped(x: jax.Array, *rest: Any) -> jax.Array:
    return jax.lax.fori_loop(0, _LOOP, lambda _, x: function(x, *rest), x)

  jax.block_until_ready(looped(*args))
  times = []
  for _ in range(num_tests):
    start = time.perf_counter()
    jax.block_until_ready(looped(*args))
    times.append((time.perf_counter() - start) / _LOOP * 1e6)
  return statistics.median(times), {}


def _line(row: dict[str, Any]) -> str:
  kernels = ", ".join(f"{k} {us}" for k, us in row["kernels"].items())
  return (
    f"{row['layer']:>5} {row['tokens']:5} tokens: {row['us_median']:9.1f} us,"
    f" steps {row['steps_us']:9.1f}"
    f" ({row['steps_us'] / row['us_median']:.2f}), FP4 {row['fp4_us']:9.1f},"
    f" BF16 {row['bf16_us']:9.1f}, floor {row['floor_us']:.1f}; {kernels}"
  )


if __name__ == "__main__":
  sys.exit(main())
