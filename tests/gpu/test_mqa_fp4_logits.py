"""The kernel of the FP4 MQA logits against float64, on a Hopper GPU."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_deepgemm as jd
from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.heuristics.sm90_fp8_fp4_mqa_logits import (
  legal_fp4_mqa_configs,
)
from jax_deepgemm.heuristics.sm90_fp8_mqa_logits import MqaLogitsProblem
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import sm90_fp8_fp4_mqa_logits
from jax_deepgemm.primitives.mqa_form import MqaForm
from jax_deepgemm.testing import calc_diff
from tests import mqa_data, mqa_fp4_data
from tests.gpu.gemm_data import on_the_cpu, poison_device_memory
from tests.mqa_fp4_data import EXACT, NARROW, ONE_MORE, WIDE

pytestmark = pytest.mark.gpu

_BITS = 11  # FP8 tensor cores keep about 14 bits of the largest product.
_LOWEST, _HIGHEST = -(2**31), 2**31 - 1
_RAGGED = [(3, 17), (500, 400), (129, 531), (_LOWEST, _HIGHEST), (530, 531)]
CASES = {
  "ragged": ((301, 531, 64, 128, _RAGGED), {}),
  "causal, all shifts": (
    (300, 3001, 64, 128, [(0, i * 10) for i in range(300)], EXACT, EXACT),
    {},
  ),
  "d = 32": ((77, 531, 32, 32, _RAGGED), {"clean_logits": False}),
  "few keys": (
    (77, 37, 8, 64, [(_LOWEST, _HIGHEST), (7, _LOWEST), (-5, 9)]),
    {},
  ),
  "compressed": ((513, 531, 16, 64, _RAGGED), {"max_seqlen_k": 203}),
  "bfloat16": (
    (64, 4000, 32, 128, [(100, 3999)]),
    {"logits_dtype": jnp.bfloat16},
  ),
  "blocks without keys": (
    (6000, 700, 64, 32, [(1, 700), *[(2, 1)] * 5998, (0, 3)]),
    {},
  ),
  "no key": ((100, 2000, 64, 128, [(7, 7)]), {}),
  "some keys are wide": (
    (40, 700, 64, 128, [(0, 690), (9, 20)], NARROW, WIDE, 50),
    {},
  ),
  "some rows are wide": (
    (40, 700, 32, 64, [(0, 690), (9, 20)], WIDE, EXACT, 7),
    {"logits_dtype": jnp.bfloat16},
  ),
  "a binade too many": (
    (20, 300, 8, 128, [(0, 290)], ONE_MORE, ONE_MORE),
    {"max_seqlen_k": 250},
  ),
}
by_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def _compute(arrays, settings, **options):
  q, q_scales, keys, scales, *others = map(jnp.asarray, arrays)
  f = functools.partial(jd.fp8_fp4_mqa_logits, **settings)
  with jd.options(implementation="kernel", **options):
    return np.asarray(jax.jit(f)((q, q_scales), (keys, scales), *others))


@by_case
def test_logits_are_those_of_the_formula(case):
  sizes, settings = case
  arrays = mqa_fp4_data.operands(*sizes)
  poison_device_memory()
  found = _compute(arrays, settings)
  exact, magnitude = mqa_fp4_data.logits(
    *arrays,
    max_seqlen_k=settings.get("max_seqlen_k", 0),
    fill=-np.inf if settings.get("clean_logits", True) else 0.0,
  )
  assert mqa_data.wrong(found, exact, magnitude, _BITS).size == 0


@pytest.mark.parametrize(
  "name", ["ragged", "some keys are wide", "some rows are wide"]
)
def test_runs_agree_bit_by_bit_on_any_number_of_multiprocessors(name):
  sizes, settings = CASES[name]
  arrays = mqa_fp4_data.operands(*sizes)
  first = _compute(arrays, settings).tobytes()
  for options in ({}, {"pdl": True}, {"num_sms": 20}, {"num_sms": 1}, {}):
    assert _compute(arrays, settings, **options).tobytes() == first


@pytest.mark.parametrize("heads", [8, 64])
def test_every_configuration_gives_the_same_bits(heads):
  arrays = mqa_fp4_data.operands(90, 700, heads, 64, [(3, 650), (40, 700)])
  q, q_scales, *others = map(jnp.asarray, arrays)
  form = MqaForm(np.dtype(np.float32), True, 0)
  problem = MqaLogitsProblem(90, 700, heads, 64, 700)

  def compute(config):
    kernel = sm90_fp8_fp4_mqa_logits
    choose, kernel.choose = kernel.choose, lambda *args: config
    try:
      f = functools.partial(
        kernel.run, form=form, options=Options(), device=H200
      )
      return np.asarray(jax.jit(f)(q, *others, q_scales)).tobytes()
    finally:
      kernel.choose = choose

  found = {compute(config) for config in legal_fp4_mqa_configs(problem, H200)}
  assert len(found) == 1


def test_a_row_does_not_depend_on_the_others():
  # Rows beside those that are looked at are wide, and computed otherwise.
  arrays = mqa_fp4_data.operands(
    50, 700, 64, 128, [(0, 700)], WIDE, NARROW, wide_every=2
  )
  q, q_scales, keys, scales, *others = arrays
  all_rows = _compute(arrays, {})
  few = _compute(
    (q[1::2], q_scales[1::2], keys, scales, *(x[1::2] for x in others)), {}
  )
  assert few.tobytes() == all_rows[1::2].tobytes()


def test_a_scale_without_a_number_reaches_those_that_see_it():
  arrays = mqa_fp4_data.operands(9, 700, 64, 128, [(0, 600), (9, 20)])
  arrays[3].view(np.uint8).reshape(-1, 4)[500, 1] = 255
  found = _compute(arrays, {})
  assert np.all(np.isnan(found[::2, 500]))
  assert np.isnan(found).sum() == 5


@pytest.mark.parametrize("dim", [64, 128])
def test_causal_prefill_agrees_with_the_reference(dim):
  s, num_keys = 2048, 4096
  key = jax.random.split(jax.random.key(0), 3)
  cast = functools.partial(
    jd.per_token_cast_to_fp4,
    use_ue8m0=True,
    gran_k=32,
    use_packed_ue8m0=True,
  )
  q = cast(jax.random.normal(key[0], (s, 64, dim), jnp.bfloat16))
  kv = cast(jax.random.normal(key[1], (num_keys, dim), jnp.bfloat16))
  weights = jax.random.normal(key[2], (s, 64), jnp.float32)
  ends = jnp.arange(s, dtype=jnp.int32) + num_keys - s
  rows = (weights, jnp.maximum(ends - 3000, 0), ends)
  with jd.options(implementation="kernel"):
    found = np.asarray(jax.jit(jd.fp8_fp4_mqa_logits)(q, kv, *rows))
  with on_the_cpu():
    some = np.arange(0, s, 97)
    few = jax.tree.map(lambda x: np.asarray(x)[some], (q, *rows))
    kv = jax.tree.map(np.asarray, kv)
    expected = np.asarray(jax.jit(jd.fp8_fp4_mqa_logits)(few[0], kv, *few[1:]))
  found = found[some]
  np.testing.assert_array_equal(found == -np.inf, expected == -np.inf)
  finite = np.isfinite(expected)
  assert calc_diff(found[finite], expected[finite]) < 5e-6
