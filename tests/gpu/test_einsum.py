"""einsum and fp8_einsum against float64, on a Hopper GPU."""

import functools
import random

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_deepgemm as jd
from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.heuristics.sm90_batched_k_bf16_gemm import (
  BatchedKBf16GemmProblem,
  legal_batched_k_configs,
)
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import (
  kernel_library,
  sm90_batched_k_bf16_gemm,
)
from jax_deepgemm.testing import calc_diff
from tests.einsum.einsum_oracle import (
  assert_is_einsum,
  bf16_operands,
  dequantized,
  letters_of,
  scaled_operands,
)
from tests.gpu.bf16_data import magnitude, operands, product
from tests.gpu.gemm_data import poison_device_memory, row_error

pytestmark = pytest.mark.gpu

BATCHED = ("bhr,hdr->bhd", "bhd,hdr->bhr")
LONG_K = "bmk,bnk->mn"
FP8 = {
  "bhr,hdr->bhd": (({"r": 128}, {"d": 128, "r": 128}), None),
  "bhd,hdr->bhr": (({"d": 128}, {"d": 128, "r": 128}), None),
  "bhd,bhr->hdr": (({"b": 128}, {"b": 128}), (1, 1, 128)),
}
NUM_CONFIGS = 12


def _compute(expr, *arrays, **kwargs):
  f = jd.fp8_einsum if isinstance(arrays[0], tuple) else jd.einsum
  with jd.options(implementation="kernel"):
    return jax.jit(lambda *x: f(expr, *x, **kwargs))(*arrays)


# Tensor cores may truncate where float32 rounds.
_assert_is_einsum = functools.partial(assert_is_einsum, sum_error=2.0**-19)


def _addend(expr, sizes, dtype):
  shape = [sizes[x] for x in letters_of(expr)[2]]
  values = np.random.default_rng(1).standard_normal(shape) * 1e3
  return jnp.asarray(values, dtype)


@pytest.mark.parametrize("expr", BATCHED)
@pytest.mark.parametrize("b", [1, 40, 300])
@pytest.mark.parametrize("odd", [False, True])
@pytest.mark.parametrize("with_c", [False, True])
def test_every_head_is_its_product(expr, b, odd, with_c):
  sizes = {"b": b, "h": 7, "r": 512 - 3 * odd, "d": 256 - 5 * odd}
  a, w = bf16_operands(expr, sizes)
  c = _addend(expr, sizes, jnp.bfloat16) if with_c else None
  poison_device_memory(1)
  d = _compute(expr, a, w, *([c] if with_c else []))
  assert d.dtype == jnp.bfloat16
  _assert_is_einsum(d, expr, a, w, c)


@pytest.mark.parametrize("out_dtype", [jnp.bfloat16, jnp.float32])
@pytest.mark.parametrize("with_c", [False, True])
@pytest.mark.parametrize(
  ("b", "m", "n", "k"),
  [
    (129, 128, 384, 128),
    (40, 256, 256, 256),
    (3, 70, 101, 75),
    (1000, 9, 17, 64),
    (2, 2000, 1000, 512),
  ],
)
def test_a_long_k_is_summed_once(b, m, n, k, out_dtype, with_c):
  sizes = {"b": b, "m": m, "n": n, "k": k}
  x, y = bf16_operands(LONG_K, sizes)
  c = _addend(LONG_K, sizes, out_dtype) if with_c else None
  poison_device_memory(1)
  d = _compute(LONG_K, x, y, *([c] if with_c else []), out_dtype=out_dtype)
  assert d.dtype == out_dtype
  _assert_is_einsum(d, LONG_K, x, y, c)


@pytest.mark.parametrize("expr", [LONG_K, *BATCHED])
def test_twenty_repeats_have_the_same_bits(expr):
  sizes = {"b": 513, "m": 256, "n": 256, "k": 256, "h": 8, "r": 1024, "d": 512}
  x, y = jax.device_put(bf16_operands(expr, sizes))
  f = jax.jit(lambda x, y: jd.einsum(expr, x, y, out_dtype=jnp.float32))
  with jd.options(implementation="kernel"):
    first = np.asarray(f(x, y))
    for _ in range(20):
      np.testing.assert_array_equal(np.asarray(f(x, y)), first)


def test_other_batches_do_not_change_a_row_nor_does_its_split():
  sizes = {"b": 300, "m": 128, "n": 256, "k": 128}
  x, y = bf16_operands(LONG_K, sizes)
  with jd.options(batch_invariant=True):
    all_rows = _compute(LONG_K, x, y, out_dtype=jnp.float32)
    few_rows = _compute(LONG_K, x[:, :40], y, out_dtype=jnp.float32)
  np.testing.assert_array_equal(all_rows[:40], few_rows)


@pytest.mark.parametrize("expr", BATCHED)
def test_xla_copies_nothing_around_a_product_of_heads(expr):
  sizes = {"b": 300, "h": 8, "r": 512, "d": 256}
  x, y = jax.device_put(bf16_operands(expr, sizes))
  with jd.options(implementation="kernel"):
    f = jax.jit(lambda x, y: jd.einsum(expr, x, y))
    text = f.lower(x, y).compile().as_text()
  for operation in (" transpose(", " copy(", " fusion("):
    assert operation not in text


def test_xla_only_sums_parts_of_a_long_k():
  sizes = {"b": 300, "m": 128, "n": 256, "k": 128}
  x, y = jax.device_put(bf16_operands(LONG_K, sizes))
  with jd.options(implementation="kernel"):
    f = jax.jit(lambda x, y: jd.einsum(LONG_K, x, y))
    text = f.lower(x, y).compile().as_text()
  assert " transpose(" not in text
  assert text.count(" fusion(") == 1


@pytest.mark.parametrize("expr", [LONG_K, *BATCHED])
def test_gradients_are_those_of_xla(expr):
  sizes = {"b": 150, "h": 4, "r": 256, "d": 136, "m": 64, "n": 72, "k": 128}
  x, y = (jnp.asarray(v) for v in bf16_operands(expr, sizes))

  def gradients(f):
    def loss(x, y):
      return (f(x, y).astype(jnp.float32) ** 2).sum()

    return jax.jit(jax.grad(loss, (0, 1)))(x, y)

  with jd.options(implementation="kernel"):
    found = gradients(lambda x, y: jd.einsum(expr, x, y))
  exact = gradients(lambda x, y: jnp.einsum(expr, x, y))
  for x, y in zip(found, exact, strict=True):
    x, y = (np.asarray(v, np.float32) for v in (x, y))
    assert np.linalg.norm(x - y) <= 1e-2 * np.linalg.norm(y)


@pytest.mark.parametrize("expr", FP8)
@pytest.mark.parametrize("b", [4, 300])
@pytest.mark.parametrize("with_c", [False, True])
def test_quantised_heads_are_their_products(expr, b, with_c):
  grans, recipe = FP8[expr]
  sizes = {"b": b, "h": 5, "d": 384, "r": 520}
  x, y = scaled_operands(expr, sizes, grans)
  c = _addend(expr, sizes, jnp.float32) if with_c else None
  poison_device_memory(1)
  d = _compute(expr, x, y, *([c] if with_c else []), recipe=recipe)
  exact = np.einsum(expr, dequantized(x), dequantized(y), optimize=True)
  if with_c:
    exact = exact + np.asarray(c, np.float64)
  # 14 bits of the tensor cores' sums, and those of a bfloat16 result.
  assert row_error(d, exact) < (1e-3 if with_c else 4e-3)


def test_gradients_of_plain_operands_are_near_those_of_xla():
  expr = "bhr,hdr->bhd"
  sizes = {"b": 256, "h": 4, "r": 512, "d": 256}
  x, y = (jnp.asarray(v) for v in bf16_operands(expr, sizes))

  def gradients(f):
    return jax.jit(jax.grad(lambda x, y: f(x, y).sum(), (0, 1)))(x, y)

  with jd.options(implementation="kernel"):
    found = gradients(
      lambda x, y: jd.fp8_einsum(expr, x, y, out_dtype=jnp.float32)
    )
  exact = gradients(
    lambda x, y: jnp.einsum(expr, x, y, preferred_element_type=jnp.float32)
  )
  for x, y in zip(found, exact, strict=True):
    assert calc_diff(x, y) < 2e-3


@pytest.mark.parametrize("flags", [{}, {"float32_out": True, "with_c": True}])
def test_sampled_configurations_are_right(monkeypatch, flags):
  problem = BatchedKBf16GemmProblem(200, 328, 128, 37, **flags)
  configs = sorted(legal_batched_k_configs(problem, H200), key=str)
  configs = random.Random(0).sample(configs, NUM_CONFIGS)
  k = problem.k_run * problem.num_runs
  out_dtype = jnp.float32 if flags else jnp.bfloat16
  a, b = operands(problem.m, problem.n, k, groups=1)
  c = jnp.ones((1, problem.m, problem.n), out_dtype) if flags else None
  exact = product(a, b, c)
  allowed = magnitude(a, b, c) * 2.0**-18
  allowed = allowed + np.abs(exact) * (0 if flags else 2.0**-8)
  for config in configs:
    recipe = sm90_batched_k_bf16_gemm.recipe(config)
    kernel_library.library().prefetch(recipe)
  for config in configs:
    monkeypatch.setattr(
      sm90_batched_k_bf16_gemm, "choose", functools.partial(_always, config)
    )
    run = functools.partial(
      sm90_batched_k_bf16_gemm.run,
      k_run=problem.k_run,
      out_dtype=np.dtype(out_dtype),
      options=Options(),
      device=H200,
    )
    d = jax.jit(run)(jnp.asarray(a), jnp.asarray(b), c)
    assert np.all(np.abs(np.asarray(d, np.float64) - exact) <= allowed)


def _always(config, *args, **kwargs):
  del args, kwargs
  return config
