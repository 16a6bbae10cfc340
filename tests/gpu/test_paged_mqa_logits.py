"""The paged MQA logits' kernel against float64, on a Hopper GPU."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_deepgemm as jd
from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.heuristics.sm90_fp8_paged_mqa_logits import (
  PagedMqaProblem,
  legal_paged_mqa_configs,
)
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import sm90_fp8_paged_mqa_logits
from jax_deepgemm.primitives.paged_mqa_form import PagedMqaForm
from tests import paged_mqa_data
from tests.gpu.gemm_data import poison_device_memory

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
# Lengths, heads, dimension, keys of a page, pages, width, and more.
CASES = {
  "one row": (_lens(301, 1, 700), 64, 128, 64, 11, 700, {}),
  "clean": (_lens(77, 1, 700), 64, 128, 64, 11, 901, {"clean": True}),
  "two rows": (_lens(150, 2, 700), 64, 128, 64, 11, 700, {"bf16": True}),
  "few heads": (_lens(150, 2, 1500), 32, 128, 64, 24, 1500, {"clean": True}),
  "small pages": (_lens(90, 1, 700), 32, 128, 32, 22, 704, {"bf16": True}),
  "small keys": (_lens(90, 3, 700), 16, 64, 32, 22, 704, {"clean": True}),
  "smallest": (_lens(90, 1, 700), 8, 32, 64, 11, 704, {}),
  "six rows": (_lens(40, 6, 600), 64, 128, 64, 10, 640, {"clean": True}),
  "nine rows": (_lens(33, 9, 300), 64, 64, 64, 5, 300, {}),
  "many rows": (_lens(21, 70, 200), 8, 32, 32, 7, 200, {"bf16": True}),
  "any lengths": (_WILD, 64, 32, 64, 5, 300, {"clean": True}),
  "narrow": (_WILD, 64, 32, 64, 5, 70, {"clean": True, "bf16": True}),
  "no keys": ([[0]] * 200, 64, 128, 64, 3, 190, {"clean": True}),
  "wild table": ([[190]] * 40, 64, 128, 64, 3, 192, {"wild": True}),
  "runs": (_lens(500, 1, 500), 64, 128, 64, 8, 500, {"indices": _runs(500)}),
  "runs of few heads": (
    _lens(2000, 1, 200),
    16,
    64,
    32,
    7,
    201,
    {"indices": _runs(2000), "clean": True},
  ),
  "one run": (
    _lens(700, 1, 300),
    32,
    32,
    64,
    5,
    300,
    {"indices": [7] * 700, "clean": True},
  ),
}
by_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


@functools.cache
def _operands(name):
  *sizes, _, more = CASES[name]
  own = {key: more[key] for key in ("indices", "wild") if key in more}
  return paged_mqa_data.operands(*sizes, **own)


def _name(case):
  return next(name for name, other in CASES.items() if other is case)


def _settings(case):
  *_, width, more = case
  dtype = jnp.bfloat16 if more.get("bf16") else jnp.float32
  return (width, more.get("clean", False), dtype)


def _compute(given, settings, meta=None, **options):
  arrays = tuple(map(jnp.asarray, given.arguments()[:5]))
  indices = None if given.indices is None else jnp.asarray(given.indices)

  def f(*arrays):
    return jd.fp8_paged_mqa_logits(*arrays, meta, *settings, indices)

  with jd.options(implementation="kernel", **options):
    return np.asarray(jax.jit(f)(*arrays))


def _seen(given, found):
  """Returns what is defined of a result without -inf."""
  most = given.table.shape[1] * given.cache.shape[1]
  lens = np.clip(given.lens.reshape(-1, 1), 0, most)
  return np.where(np.arange(found.shape[1]) < lens, found, 0)


@by_case
def test_logits_are_those_of_the_formula(case):
  given = _operands(_name(case))
  settings = _settings(case)
  poison_device_memory()
  found = _compute(given, settings)
  fill = -np.inf if settings[1] else 0.0
  found = found if settings[1] else _seen(given, found)
  assert paged_mqa_data.wrong(found, given, _BITS, fill).size == 0


@by_case
def test_runs_agree_bit_by_bit_on_any_number_of_multiprocessors(case):
  given = _operands(_name(case))
  settings = _settings(case)
  first = _seen(given, _compute(given, settings)).tobytes()
  for options in ({}, {"pdl": True}, {"num_sms": 20}, {"num_sms": 1}, {}):
    found = _seen(given, _compute(given, settings, **options))
    assert found.tobytes() == first


@pytest.mark.parametrize("name", ["one row", "two rows", "few heads", "runs"])
def test_every_configuration_gives_the_same_values(name):
  given = _operands(name)
  batch, next_n, heads, dim = given.q.shape
  width = CASES[name][5]
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
  ]
  arrays += [given.indices] if is_varlen else []

  def compute(config):
    kernel = sm90_fp8_paged_mqa_logits
    choose, kernel.choose = kernel.choose, lambda *args: config
    try:
      f = functools.partial(
        kernel.run, form=form, options=Options(), device=H200
      )
      return np.asarray(jax.jit(f)(*map(jnp.asarray, arrays)))
    finally:
      kernel.choose = choose

  configs = list(legal_paged_mqa_configs(problem, H200))
  assert len(configs) > 3
  for config in configs:
    found = compute(config).reshape(batch * next_n, width)
    assert paged_mqa_data.wrong(found, given, _BITS, -np.inf).size == 0


def test_a_sequence_does_not_depend_on_the_others():
  given = _operands("two rows")
  settings = _settings(CASES["two rows"])
  rows = _seen(given, _compute(given, settings)).reshape(150, 2, -1)
  few = paged_mqa_data.PagedOperands(
    given.q[17:23],
    given.cache,
    given.weights[34:46],
    given.lens[17:23],
    given.table[17:23],
  )
  found = _seen(few, _compute(few, settings)).reshape(6, 2, -1)
  assert found.tobytes() == rows[17:23].tobytes()


@pytest.mark.parametrize("value", [-(2**31), 0, 7, 2**31 - 1])
def test_a_schedule_of_any_values_changes_nothing(value):
  given = _operands("one row")
  settings = _settings(CASES["one row"])
  wanted = _seen(given, _compute(given, settings))
  meta = jnp.full((133, 2), value, jnp.int32)
  found = _seen(given, _compute(given, settings, meta))
  assert found.tobytes() == wanted.tobytes()
  meta = jd.get_paged_mqa_logits_metadata(jnp.asarray(given.lens), 64)
  found = _seen(given, _compute(given, settings, meta))
  assert found.tobytes() == wanted.tobytes()


def test_a_nan_reaches_those_that_see_it():
  given = paged_mqa_data.operands([[600, 20], [300, 301]], 64, 128, 64, 10)
  page = given.table[0, 500 // 64]
  given.cache.reshape(len(given.cache), -1)[page, 500 % 64 * 128] = 0x7F
  found = _compute(given, (640, True, jnp.float32))
  assert np.argwhere(np.isnan(found)).tolist() == [[0, 500]]
