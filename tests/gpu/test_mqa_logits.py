"""The MQA logits' kernel against float64, on a Hopper GPU."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_deepgemm as jd
from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.heuristics.sm90_fp8_mqa_logits import (
  MqaLogitsProblem,
  legal_mqa_configs,
)
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import sm90_fp8_mqa_logits
from jax_deepgemm.primitives.mqa_form import MqaForm
from jax_deepgemm.testing import calc_diff
from tests import mqa_data
from tests.gpu.gemm_data import on_the_cpu, poison_device_memory

pytestmark = pytest.mark.gpu

_BITS = 11  # FP8 tensor cores keep about 14 bits of the largest product.
_LOWEST, _HIGHEST = -(2**31), 2**31 - 1
_RAGGED = [(3, 17), (500, 400), (129, 531), (_LOWEST, _HIGHEST), (530, 531)]
CASES = [
  (301, 531, 64, 128, _RAGGED, {}),
  (300, 3001, 64, 128, [(0, i * 10) for i in range(300)], {}),
  (77, 531, 32, 32, _RAGGED, {"clean_logits": False}),
  (77, 37, 8, 64, [(_LOWEST, _HIGHEST), (7, _LOWEST), (-5, 9)], {}),
  (513, 531, 16, 64, _RAGGED, {"max_seqlen_k": 203}),
  (64, 4000, 32, 128, [(100, 3999)], {"logits_dtype": jnp.bfloat16}),
  (300, 2000, 64, 64, [(900, 1000)], {"max_seqlen_k": 101}),
  (6000, 700, 64, 32, [(1, 700), *[(2, 1)] * 5998, (0, 3)], {}),
  (100, 2000, 64, 128, [(7, 7)], {}),
  (1, 1, 8, 32, [(0, 1)], {"logits_dtype": jnp.bfloat16}),
]
by_case = pytest.mark.parametrize("case", CASES, ids=lambda c: str(c[:4]))


def _compute(arrays, settings, **options):
  q, keys, scales, *others = map(jnp.asarray, arrays)
  f = functools.partial(jd.fp8_mqa_logits, **settings)
  with jd.options(implementation="kernel", **options):
    return np.asarray(jax.jit(f)(q, (keys, scales), *others))


@by_case
def test_logits_are_those_of_the_formula(case):
  *sizes, settings = case
  arrays = mqa_data.operands(*sizes)
  poison_device_memory()
  found = _compute(arrays, settings)
  exact, magnitude = mqa_data.logits(
    *arrays,
    max_seqlen_k=settings.get("max_seqlen_k", 0),
    fill=-np.inf if settings.get("clean_logits", True) else 0.0,
  )
  assert mqa_data.wrong(found, exact, magnitude, _BITS).size == 0


@by_case
def test_runs_agree_bit_by_bit_on_any_number_of_multiprocessors(case):
  *sizes, settings = case
  arrays = mqa_data.operands(*sizes)
  first = _compute(arrays, settings).tobytes()
  for options in ({}, {"pdl": True}, {"num_sms": 20}, {"num_sms": 1}, {}):
    assert _compute(arrays, settings, **options).tobytes() == first


@pytest.mark.parametrize("heads", [8, 64])
def test_every_configuration_gives_the_same_bits(heads):
  arrays = mqa_data.operands(90, 700, heads, 64, [(3, 650), (40, 700)])
  arrays = tuple(map(jnp.asarray, arrays))
  form = MqaForm(np.dtype(np.float32), True, 0)
  problem = MqaLogitsProblem(90, 700, heads, 64, 700)

  def compute(config):
    kernel = sm90_fp8_mqa_logits
    choose, kernel.choose = kernel.choose, lambda *args: config
    try:
      f = functools.partial(
        kernel.run, form=form, options=Options(), device=H200
      )
      return np.asarray(jax.jit(f)(*arrays)).tobytes()
    finally:
      kernel.choose = choose

  found = {compute(config) for config in legal_mqa_configs(problem, H200)}
  assert len(found) == 1


def test_a_row_does_not_depend_on_the_others():
  arrays = mqa_data.operands(50, 700, 64, 128, [(0, 700)])
  q, keys, scales, *others = arrays
  all_rows = _compute(arrays, {})
  some = slice(17, 23)
  few = _compute((q[some], keys, scales, *(x[some] for x in others)), {})
  assert few.tobytes() == all_rows[some].tobytes()


def test_a_nan_reaches_those_that_see_it():
  q, keys, *others = mqa_data.operands(9, 700, 64, 128, [(0, 600), (9, 20)])
  keys[500] = np.nan
  found = _compute((q, keys, *others), {})
  assert np.all(np.isnan(found[::2, 500]))
  assert np.isnan(found).sum() == 5


@pytest.mark.parametrize("compressed", [False, True])
def test_causal_prefill_agrees_with_the_reference(compressed):
  s, num_keys = 2048, 4096
  key = jax.random.split(jax.random.key(0), 3)
  q = jax.random.normal(key[0], (s, 64, 128), jnp.bfloat16)
  kv = jax.random.normal(key[1], (num_keys, 128), jnp.bfloat16)
  weights = jax.random.normal(key[2], (s, 64), jnp.float32)
  ends = jnp.arange(s, dtype=jnp.int32) + num_keys - s
  starts = jnp.maximum(ends - 3000, 0)
  f = functools.partial(
    jd.fp8_mqa_logits,
    clean_logits=not compressed,
    max_seqlen_k=3000 if compressed else 0,
  )
  arrays = (q, kv, weights, starts, ends)
  with jd.options(implementation="kernel"):
    found = np.asarray(jax.jit(f)(*arrays))
  with on_the_cpu():
    rows = np.arange(0, s, 97)
    few = [np.asarray(x) for x in (q[rows], kv, *(y[rows] for y in arrays[2:]))]
    expected = np.asarray(jax.jit(f)(*few))
  found = found[rows]
  np.testing.assert_array_equal(found == -np.inf, expected == -np.inf)
  finite = np.isfinite(expected)
  assert calc_diff(found[finite], expected[finite]) < 5e-6


def test_gradients_follow_the_kernel_and_sum_over_rows():
  key = jax.random.split(jax.random.key(0), 4)
  q = jax.random.normal(key[0], (64, 32, 128), jnp.bfloat16)
  kv = jax.random.normal(key[1], (512, 128), jnp.bfloat16)
  weights = jax.random.normal(key[2], (64, 32), jnp.float32)
  starts = jnp.zeros(64, jnp.int32)
  ends = jnp.arange(64, dtype=jnp.int32) * 8
  dy = jax.random.normal(key[3], (64, 512), jnp.float32)

  def loss(q, kv, weights):
    logits = jd.fp8_mqa_logits(q, kv, weights, starts, ends, False)
    return jnp.vdot(logits, dy)

  def exact(q, kv, weights):
    x = jnp.einsum(
      "shd,kd->shk",
      q.astype(jnp.float32),
      kv.astype(jnp.float32),
      precision="highest",
    )
    logits = jnp.einsum("sh,shk->sk", weights, jax.nn.relu(x))
    seen = jnp.arange(512) < ends[:, None]
    return jnp.vdot(jnp.where(seen, logits, 0), dy)

  with jd.options(implementation="kernel"):
    found = jax.jit(jax.grad(loss, (0, 1, 2)))(q, kv, weights)
  wanted = jax.jit(jax.grad(exact, (0, 1, 2)))(q, kv, weights)
  for x, y in zip(found, wanted, strict=True):
    x, y = (np.asarray(z.astype(jnp.float32)) for z in (x, y))
    assert calc_diff(x, y) < 1e-4
