"""The kernels of mqa_topk against the logits of theirs, on a Hopper GPU."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_deepgemm as jd
from jax_deepgemm.heuristics import topk_chunks
from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.heuristics.sm90_row_topk import (
  RowTopkProblem,
  legal_row_topk_configs,
)
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import sm90_row_topk
from tests import mqa_data, mqa_fp4_data, topk_data
from tests.gpu.gemm_data import poison_device_memory

pytestmark = pytest.mark.gpu

_LOWEST, _HIGHEST = -(2**31), 2**31 - 1
_RANGES = [(3, 17), (500, 400), (129, 5001), (_LOWEST, _HIGHEST), (5000, 5001)]
# Rows, columns, k, how rows are.
ROWS = [
  (300, 65536, 2048, "normal"),
  (3, 131071, 2048, "normal"),
  (140, 20001, 2048, "rising"),
  (140, 20001, 1000, "falling"),
  (140, 20001, 1, "close"),
  (140, 9001, 4096, "tied"),
  (140, 30001, 2048, "special"),
  (5, 100001, 2047, "special"),
  (140, 30000, 16384, "normal"),
  (140, 5000, 5000, "special"),
  (2, 70000, 64, "equal"),
  (1, 1, 1, "normal"),
]


def _ranges(num_rows, width, num_keys):
  """Returns starts and ends of rows that hold the width, and others."""
  starts = np.arange(num_rows, dtype=np.int32) * 3
  ends = np.full(num_rows, _HIGHEST, np.int32)
  ends[2::7] = starts[2::7] + width // 2
  ends[5::7] = _LOWEST
  return starts, np.minimum(ends, num_keys)


def _select(values, starts, ends, num_keys, k, choose=None, **options):
  def f(*arrays):
    kernel = sm90_row_topk
    original = kernel.choose
    kernel.choose = choose or original
    try:
      return kernel.run(
        *arrays,
        num_keys=num_keys,
        k=k,
        options=Options(**options),
        device=H200,
      )
    finally:
      kernel.choose = original

  return [np.asarray(x) for x in jax.jit(f)(values, starts, ends)]


@pytest.mark.parametrize("case", ROWS, ids=str)
def test_the_largest_of_rows_come_in_order(case):
  num_rows, width, k, kind = case
  values = topk_data.rows(kind, num_rows, width)
  num_keys = width + 3 * num_rows
  starts, ends = _ranges(num_rows, width, num_keys)
  poison_device_memory()
  found = _select(values, starts, ends, num_keys, k)
  wanted = topk_data.of_ranges(values, starts, ends, num_keys, k)
  for x, y in zip(found, wanted, strict=True):
    np.testing.assert_array_equal(x, y)
  again = _select(values, starts, ends, num_keys, k, pdl=True)
  for x, y in zip(found, again, strict=True):
    assert x.tobytes() == y.tobytes()


@pytest.mark.parametrize("k", [512, 4096])
def test_every_configuration_selects_the_same(k):
  values = topk_data.rows("normal", 140, 20001)
  starts, ends = _ranges(140, 20001, 30000)
  wanted = topk_data.of_ranges(values, starts, ends, 30000, k)
  configs = list(legal_row_topk_configs(RowTopkProblem(140, 20001, k), H200))
  assert len(configs) > 4
  for config in configs:
    found = _select(values, starts, ends, 30000, k, lambda *_, c=config: c)
    for x, y in zip(found, wanted, strict=True):
      np.testing.assert_array_equal(x, y)


def _topk(arrays, k, width=0):
  q, keys, scales, *others = map(jnp.asarray, arrays)
  f = functools.partial(jd.mqa_topk, k=k, max_seqlen_k=width)
  with jd.options(implementation="kernel"):
    return [np.asarray(x) for x in jax.jit(f)(q, (keys, scales), *others)]


def _logits(arrays, width):
  q, keys, scales, *others = map(jnp.asarray, arrays)
  f = functools.partial(jd.fp8_mqa_logits, max_seqlen_k=width)
  with jd.options(implementation="kernel"):
    return np.asarray(jax.jit(f)(q, (keys, scales), *others))


@pytest.mark.parametrize(
  ("rows", "heads", "dim", "k", "width"),
  [
    (301, 64, 128, 512, 0),
    (301, 32, 64, 2000, 3001),
    (7, 8, 32, 100, 0),
    (64, 16, 128, 6000, 0),
  ],
)
@pytest.mark.parametrize("chunk_bytes", [4 * 5004 * 50, 96 << 20])
def test_keys_are_those_of_the_kernels_logits(
  monkeypatch, rows, heads, dim, k, width, chunk_bytes
):
  # All rows at once, or in chunks of 50.
  monkeypatch.setattr(topk_chunks, "_WANTED_BYTES", chunk_bytes)
  monkeypatch.setattr(topk_chunks, "_MOST_BYTES", chunk_bytes)
  arrays = mqa_data.operands(rows, 5001, heads, dim, _RANGES)
  poison_device_memory()
  found = _topk(arrays, k, width)
  logits = _logits(arrays, width or 5001)
  wanted = topk_data.of_ranges(logits, *arrays[4:6], 5001, k)
  for x, y in zip(found, wanted, strict=True):
    np.testing.assert_array_equal(x, y)


def test_a_row_does_not_depend_on_the_others():
  q, keys, scales, *others = mqa_data.operands(50, 5001, 64, 128, _RANGES)
  values, indices = _topk((q, keys, scales, *others), 300)
  some = slice(17, 23)
  few = _topk((q[some], keys, scales, *(x[some] for x in others)), 300)
  assert few[0].tobytes() == values[some].tobytes()
  assert few[1].tobytes() == indices[some].tobytes()


def test_a_loop_of_chunks_needs_the_memory_of_one():
  s, num_keys, k = 1056, 65536, 2048
  key = jax.random.split(jax.random.key(0), 3)
  q = jax.random.normal(key[0], (s, 64, 128)).astype(jnp.float8_e4m3fn)
  keys = jax.random.normal(key[1], (num_keys, 128)).astype(jnp.float8_e4m3fn)
  weights = jax.random.normal(key[2], (s, 64), jnp.float32)
  starts = jnp.zeros(s, jnp.int32)
  ends = jnp.arange(s, dtype=jnp.int32) + num_keys - s
  kv = (keys, jnp.ones(num_keys, jnp.float32))
  with jd.options(implementation="kernel"):
    f = jax.jit(functools.partial(jd.mqa_topk, k=k))
    compiled = f.lower(q, kv, weights, starts, ends).compile()
  memory = compiled.memory_analysis()
  assert memory.temp_size_in_bytes < 144 << 20  # All logits: 277 MB.
  values, indices = compiled(q, kv, weights, starts, ends)
  # Of four chunks, rows of the first, the last, and beside a seam.
  rows = np.array([0, 263, 264, 265, 1000, 1055])
  some = [np.asarray(x[rows]) for x in (q, weights, starts, ends)]
  logits = _logits((some[0], *map(np.asarray, kv), *some[1:]), num_keys)
  wanted = topk_data.of_ranges(logits, *some[2:], num_keys, k)
  np.testing.assert_array_equal(np.asarray(values)[rows], wanted[0])
  np.testing.assert_array_equal(np.asarray(indices)[rows], wanted[1])


def test_gradients_are_those_of_the_chosen_logits():
  key = jax.random.split(jax.random.key(0), 4)
  q = jax.random.normal(key[0], (64, 32, 128), jnp.bfloat16)
  kv = jax.random.normal(key[1], (512, 128), jnp.bfloat16)
  weights = jax.random.normal(key[2], (64, 32), jnp.float32)
  starts = jnp.zeros(64, jnp.int32)
  ends = jnp.arange(64, dtype=jnp.int32) * 8
  dy = jax.random.normal(key[3], (64, 100), jnp.float32)

  def loss(q, kv, weights):
    values, keys = jd.mqa_topk(q, kv, weights, starts, ends, 100)
    return jnp.vdot(jnp.where(keys < 0, 0, values), dy)

  def of_logits(q, kv, weights):
    logits = jd.fp8_mqa_logits(q, kv, weights, starts, ends)
    keys = jd.mqa_topk(q, kv, weights, starts, ends, 100)[1]
    values = jnp.take_along_axis(logits, jnp.maximum(keys, 0), axis=1)
    return jnp.vdot(jnp.where(keys < 0, 0, values), dy)

  with jd.options(implementation="kernel"):
    found = jax.jit(jax.grad(loss, (0, 1, 2)))(q, kv, weights)
    wanted = jax.jit(jax.grad(of_logits, (0, 1, 2)))(q, kv, weights)
  for x, y in zip(found, wanted, strict=True):
    x, y = (np.asarray(z.astype(jnp.float32)) for z in (x, y))
    np.testing.assert_allclose(x, y, rtol=2e-2, atol=np.abs(y).max() * 1e-3)


def test_fp4_is_chosen_from_by_its_kernels_logits():
  arrays = mqa_fp4_data.operands(90, 5001, 64, 128, _RANGES)

  def f(*arrays):
    q, kv = arrays[:2], arrays[2:4]
    return (
      jd.mqa_topk(q, kv, *arrays[4:], 700),
      jd.fp8_fp4_mqa_logits(q, kv, *arrays[4:], True, 5001),
    )

  with jd.options(implementation="kernel"):
    found, values = jax.jit(f)(*map(jnp.asarray, arrays))
  wanted = topk_data.of_ranges(np.asarray(values), *arrays[5:], 5001, 700)
  for x, y in zip(found, wanted, strict=True):
    np.testing.assert_array_equal(x, y)
