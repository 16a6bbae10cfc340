"""Times dispatch and combine of an expert-parallel layer, on 2 GPUs or more.

python -m benchmarks.expert_parallel                   a forward and backward
python -m benchmarks.expert_parallel --slices 64 512   and what slices do
"""

import functools
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import jax_deepgemm
from benchmarks import command
from jax_deepgemm import expert_exchange

_METHOD = (
  "wall-clock time of a jitted loop of 10 calls that depend on each other,"
  " divided by 10, on all GPUs of the process; random routing, even on average"
)
_LOOP = 10
# Each way, of an H200 by its datasheet; stores to a peer reached 342.
_LINK_GB_PER_S = 450


class Layer(NamedTuple):
  """Attributes: tokens of a GPU, choices of each, width, experts of all."""

  tokens: int
  top_k: int
  width: int
  num_experts: int


_LAYERS = (
  Layer(128, 8, 7168, 256),
  Layer(4096, 8, 7168, 256),
  Layer(4096, 2, 4096, 8),
)


def main(argv: Sequence[str] | None = None) -> int:
  parser = command.parser("expert_parallel", num_tests=5)
  parser.add_argument("--slices", type=int, nargs="+", metavar="N")
  arguments = parser.parse_args(argv)
  command.need_hopper()
  ranks = len(jax.devices())
  if ranks < 2:
    print("error: this needs two GPUs or more", file=sys.stderr)
    return 2
  slices = arguments.slices or [expert_exchange.WANTED_SLICES]
  rows = _rows(slices, arguments.num_tests)
  name = "expert_parallel"
  command.record(arguments, name, _METHOD, rows, _line, ranks=ranks)
  return 0


def _rows(
  every_slices: Sequence[int], num_tests: int
) -> Iterator[dict[str, Any]]:
  """Yields a row for each number of slices, layer, wire and step."""
  for slices in every_slices:
    expert_exchange.WANTED_SLICES = slices
    for layer in _LAYERS:
      for wire in ("float8_e4m3fn", "bfloat16"):
        for name, function in _STEPS.items():
          row = _row(layer, wire, name, function, num_tests)
          yield {"slices": slices, **row}


def _row(
  layer: Layer, wire: str, name: str, step: Any, num_tests: int
) -> dict[str, Any]:
  looped, args = program(layer, wire, step)
  compiled = jax.jit(looped).lower(*args).compile()
  jax.block_until_ready(compiled(*args))
  times = []
  for _ in range(num_tests):
    start = time.perf_counter()
    jax.block_until_ready(compiled(*args))
    times.append((time.perf_counter() - start) / _LOOP * 1e6)
  ranks = len(jax.devices())
  rows = layer.tokens * layer.top_k * (ranks - 1) / ranks
  sent = rows * bytes_each_way(layer, wire)[name]
  return {
    **layer._asdict(),
    "wire": wire,
    "step": name,
    "us_median": round(statistics.median(times), 1),
    "us_min": round(min(times), 1),
    "floor_us": round(sent / _LINK_GB_PER_S / 1e3, 1),
    "gb_per_s": round(sent / statistics.median(times) / 1e3, 1),
  }


def bytes_each_way(layer: Layer, wire: str) -> dict[str, int]:
  """Returns bytes of a row that a step sends to another GPU."""
  fp8 = -(-(layer.width + -(-layer.width // 128)) // 16) * 16
  dispatch = fp8 if wire == "float8_e4m3fn" else 2 * layer.width
  combine = 2 * layer.width
  return {
    "dispatch": dispatch,
    "round trip": dispatch + combine,
    "with gradients": dispatch + 3 * combine,
  }


def program(layer: Layer, wire: str, step: Any) -> tuple[Any, tuple[Any, ...]]:
  """Returns a loop of calls over all GPUs, and its arguments."""
  ranks = len(jax.devices())
  mesh = jax.make_mesh((ranks,), ("expert",), axis_types=(AxisType.Auto,))
  random = np.random.default_rng(0)
  tokens = ranks * layer.tokens
  scores = random.random((tokens, layer.num_experts), np.float32)
  ids = np.argpartition(scores, layer.top_k)[:, : layer.top_k]
  x = random.standard_normal((tokens, layer.width), np.float32)
  weights = random.random(ids.shape, np.float32)
  args = (jnp.asarray(x, jnp.bfloat16), ids.astype(np.int32), weights)
  body = functools.partial(step, layer, wire)
  looped = jax.shard_map(
    lambda x, ids, weights: jax.lax.fori_loop(
      0, _LOOP, lambda _, x: body(x, ids, weights), x
    ),
    mesh=mesh,
    in_specs=P("expert"),
    out_specs=P("expert"),
  )
  return looped, jax.device_put(args, NamedSharding(mesh, P("expert")))


def _dispatch(layer: Layer, wire: str, x, ids, weights):
  """Dispatches x; one element of the result changes the next x."""
  del weights
  found = _dispatched(layer, wire, x, ids)
  return x.at[0, 0].add(found.tokens[0, 0] * jnp.bfloat16(0.5))


def _round_trip(layer: Layer, wire: str, x, ids, weights):
  found = _dispatched(layer, wire, x, ids)
  return jax_deepgemm.ep_combine(found.tokens, found, weights)


def _with_gradients(layer: Layer, wire: str, x, ids, weights):
  y, backward = jax.vjp(
    lambda x, weights: _round_trip(layer, wire, x, ids, weights), x, weights
  )
  dx, dweights = backward(y)
  return dx + dweights[:, :1].astype(dx.dtype)


def _dispatched(layer: Layer, wire: str, x, ids):
  # Twice the rows of an even distribution, as one would train with.
  return jax_deepgemm.ep_dispatch(
    x,
    ids,
    num_experts=layer.num_experts,
    axis_name="expert",
    max_rows=2 * layer.tokens * layer.top_k,
    wire_dtype=wire,
  )


_STEPS = {
  "dispatch": _dispatch,
  "round trip": _round_trip,
  "with gradients": _with_gradients,
}


def _line(row: dict[str, Any]) -> str:
  layer = " x ".join(str(row[name]) for name in Layer._fields)
  return (
    f"{layer:>22} {row['wire']:>13} {row['step']:>14}, {row['slices']} slices:"
    f" {row['us_median']:9.1f} us ({row['us_min']:.1f}), floor"
    f" {row['floor_us']:.1f}, {row['gb_per_s']:.1f} GB/s"
  )


if __name__ == "__main__":
  sys.exit(main())
