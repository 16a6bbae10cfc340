"""The kernel of the FP4 paged MQA logits against float64, on a Hopper GPU."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_deepgemm as jd
from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.heuristics.sm90_fp8_fp4_paged_mqa_logits import (
  legal_fp4_paged_mqa_configs,
)
from jax_deepgemm.heuristics.sm90_fp8_paged_mqa_logits import PagedMqaProblem
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import sm90_fp8_fp4_paged_mqa_logits
from jax_deepgemm.primitives.paged_mqa_form import PagedMqaForm
from tests import paged_mqa_data, paged_mqa_fp4_data
from tests.gpu.gemm_data import poison_device_memory
from tests.mqa_fp4_data import EXACT, NARROW, ONE_MORE, WIDE

pytestmark = pytest.mark.gpu

_BITS = 11  # FP8 tensor cores keep about 14 bits of the largest product.
_LOWEST, _HIGHEST = -(2**31), 2**31 - 1


def _lens(batch, next_n, most):
  random = np.random.default_rng(3)
  found = random.integers(0, most + 1, (batch, next_n))
  found[random.random(batch) < 0.2] = 0
  return found.tolist()


def _runs(batch):
  """Returns indices of sequences with 1 to 10 adjacent rows."""
  random = np.random.default_rng(4)
  return np.repeat(np.arange(batch), random.integers(1, 11, batch))[:batch]


_WILD = [[_LOWEST], [_HIGHEST], [0], [-1], [64], [65], [63], [1]]
_SHIFTS = {"q_exponents": EXACT, "key_exponents": EXACT}
# Lengths, heads, dimension, keys of a page, pages, width, and more.
CASES = {
  "one row": (_lens(301, 1, 700), 64, 128, 64, 11, 700, {}),
  "all shifts": (
    _lens(77, 1, 3000),
    64,
    128,
    64,
    47,
    3001,
    {"clean": True, **_SHIFTS},
  ),
  "two rows": (_lens(150, 2, 700), 64, 128, 64, 11, 700, {"bf16": True}),
  "few heads": (_lens(150, 2, 1500), 32, 64, 64, 24, 1500, {"clean": True}),
  "small pages": (_lens(90, 1, 700), 32, 128, 32, 22, 704, {"bf16": True}),
  "small keys": (_lens(90, 3, 700), 16, 64, 32, 22, 704, {"clean": True}),
  "smallest": (_lens(90, 1, 700), 8, 32, 64, 11, 704, {}),
  "smallest pages": (_lens(90, 1, 700), 8, 32, 32, 22, 704, {}),
  "six rows": (_lens(40, 6, 600), 64, 128, 64, 10, 640, {"clean": True}),
  "many rows": (_lens(21, 70, 200), 8, 32, 32, 7, 200, {"bf16": True}),
  "any lengths": (_WILD, 64, 32, 64, 5, 300, {"clean": True}),
  "no keys": ([[0]] * 200, 64, 128, 64, 3, 190, {"clean": True}),
  "wild table": ([[190]] * 40, 64, 128, 64, 3, 192, {"wild": True}),
  "runs": (_lens(500, 1, 500), 64, 128, 64, 8, 500, {"indices": _runs(500)}),
  "one run": (
    _lens(700, 1, 300),
    32,
    64,
    64,
    5,
    300,
    {"indices": [7] * 700, "clean": True},
  ),
  "some keys are wide": (
    _lens(40, 2, 700),
    64,
    128,
    64,
    11,
    700,
    {"key_exponents": WIDE, "wide_every": 50},
  ),
  "some rows are wide": (
    _lens(300, 1, 300),
    32,
    64,
    32,
    10,
    301,
    {
      "q_exponents": WIDE,
      "key_exponents": EXACT,
      "wide_every": 7,
      "indices": _runs(300),
      "bf16": True,
    },
  ),
  "a binade too many": (
    _lens(20, 1, 300),
    8,
    128,
    64,
    5,
    300,
    {"q_exponents": ONE_MORE, "key_exponents": ONE_MORE, "clean": True},
  ),
}
_KEYWORDS = ("indices", "wild", "q_exponents", "key_exponents", "wide_every")
by_case = pytest.mark.parametrize("name", CASES)


@functools.cache
def _operands(name):
  *sizes, _, more = CASES[name]
  own = {key: more[key] for key in _KEYWORDS if key in more}
  return paged_mqa_fp4_data.operands(*sizes, **own)


def _settings(name):
  *_, width, more = CASES[name]
  dtype = jnp.bfloat16 if more.get("bf16") else jnp.float32
  return (width, more.get("clean", False), dtype)


def _compute(given, settings, **options):
  arrays = jax.tree.map(jnp.asarray, given.arguments()[:5])
  indices = None if given.indices is None else jnp.asarray(given.indices)

  def f(*arrays):
    return jd.fp8_fp4_paged_mqa_logits(*arrays, None, *settings, indices)

  with jd.options(implementation="kernel", **options):
    return np.asarray(jax.jit(f)(*arrays))


def _seen(given, found):
  """Returns what is defined of a result without -inf."""
  most = given.table.shape[1] * given.cache.shape[1]
  lens = np.clip(given.lens.reshape(-1, 1), 0, most)
  return np.where(np.arange(found.shape[1]) < lens, found, 0)


@by_case
def test_logits_are_those_of_the_formula(name):
  given, settings = _operands(name), _settings(name)
  poison_device_memory()
  found = _compute(given, settings)
  fill = -np.inf if settings[1] else 0.0
  found = found if settings[1] else _seen(given, found)
  assert paged_mqa_data.wrong(found, given, _BITS, fill).size == 0


@pytest.mark.parametrize(
  "name", ["one row", "two rows", "small pages", "runs", "some keys are wide"]
)
def test_runs_agree_bit_by_bit_on_any_number_of_multiprocessors(name):
  given, settings = _operands(name), _settings(name)
  first = _seen(given, _compute(given, settings)).tobytes()
  for options in ({}, {"pdl": True}, {"num_sms": 20}, {"num_sms": 1}, {}):
    found = _seen(given, _compute(given, settings, **options))
    assert found.tobytes() == first


@pytest.mark.parametrize("name", ["one row", "two rows", "few heads", "runs"])
def test_every_configuration_gives_the_same_values(name):
  given = _operands(name)
  batch, next_n, heads, _ = given.q.shape
  dim, width = 2 * given.q.shape[3], CASES[name][5]
  is_varlen = given.indices is not None
  form = PagedMqaForm(np.dtype(np.float32), True, width, is_varlen)
  problem = PagedMqaProblem(
    batch,
    next_n,
    heads,
    dim,
    given.cache.shape[1],
    len(given.cache),
    given.table.shape[1],
    width,
    is_varlen,
  )
  arrays = [
    given.q,
    given.cache.reshape(len(given.cache), -1),
    given.weights.reshape(batch, next_n, heads),
    given.lens,
    given.table,
    given.q_scales,
  ]
  arrays += [given.indices] if is_varlen else []

  def compute(config):
    kernel = sm90_fp8_fp4_paged_mqa_logits
    choose, kernel.choose = kernel.choose, lambda *args: config
    try:
      f = functools.partial(
        kernel.run, form=form, options=Options(), device=H200
      )
      return np.asarray(jax.jit(f)(*map(jnp.asarray, arrays)))
    finally:
      kernel.choose = choose

  configs = list(legal_fp4_paged_mqa_configs(problem, H200))
  assert len(configs) > 3
  for config in configs:
    found = compute(config).reshape(batch * next_n, width)
    assert paged_mqa_data.wrong(found, given, _BITS, -np.inf).size == 0


def test_a_row_does_not_depend_on_the_others():
  # Rows beside those that are looked at are wide, and computed otherwise.
  sizes = ([[300, 290]] * 30, 64, 128, 64, 5)
  wide = paged_mqa_fp4_data.operands(*sizes, q_exponents=WIDE, wide_every=2)
  others = paged_mqa_fp4_data.operands(*sizes, q_exponents=NARROW).q_scales
  q_scales = np.stack([others[:, 0], wide.q_scales[:, 1]], axis=1)
  narrow = dataclasses.replace(wide, q_scales=q_scales)
  settings = (300, True, jnp.float32)
  found, expected = (_compute(given, settings) for given in (wide, narrow))
  assert found[1::2].tobytes() == expected[1::2].tobytes()
  assert found[::2].tobytes() != expected[::2].tobytes()


def test_a_scale_without_a_number_reaches_those_that_see_it():
  given = paged_mqa_fp4_data.operands([[600, 20], [300, 301]], 64, 128, 64, 10)
  page, slot = given.table[0, 500 // 64], 500 % 64
  given.cache.reshape(len(given.cache), -1)[page, 64 * 64 + 4 * slot + 1] = 255
  found = _compute(given, (640, True, jnp.float32))
  assert np.argwhere(np.isnan(found)).tolist() == [[0, 500]]
