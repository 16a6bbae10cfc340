"""paged_mqa_topk against the logits it chooses from, and transformed."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import jax_deepgemm as dg
from benchmarks import kernel_programs
from jax_deepgemm.primitives import mqa_rows
from tests import paged_mqa_data, topk_data
from tests.primitives.collectives import run

_LOWEST, _HIGHEST = -(2**31), 2**31 - 1
# Three pages of 32 keys each.
LENS = [(96, 1), (0, 40), (_LOWEST, _HIGHEST), (33, 64)]


@functools.cache
def given(is_varlen=False):
  lens = [(x,) for pair in LENS for x in pair] if is_varlen else LENS
  indices = (3, 3, 3, 0, 0, 7, 7, 3) if is_varlen else None
  return paged_mqa_data.operands(lens, 8, 32, 32, 3, indices=indices)


def arguments(operands):
  """Returns the arguments up to the table."""
  names = ("q", "cache", "weights", "lens", "table")
  return tuple(jnp.asarray(getattr(operands, name)) for name in names)


def expected(operands, k, width=96):
  """Returns the k largest of logits that were kept as a whole."""
  logits = jax.jit(lambda *x: dg.fp8_paged_mqa_logits(*x, None, width, True))(
    *arguments(operands)
  )
  ends = operands.lens.reshape(-1)
  starts = np.zeros_like(ends)
  return topk_data.of_ranges(np.asarray(logits), starts, ends, width, k)


def check(found, wanted):
  for x, y in zip(found, wanted, strict=True):
    assert x.dtype == y.dtype
    np.testing.assert_array_equal(np.reshape(x, y.shape), y)


def topk(*arrays, k=20, **settings):
  return dg.paged_mqa_topk(*arrays, k, **settings)


@pytest.mark.parametrize(
  ("is_varlen", "k", "width"), [(False, 20, None), (True, 100, 70)]
)
def test_keys_are_those_of_the_largest_logits(is_varlen, k, width):
  operands = given(is_varlen)
  f = functools.partial(topk, k=k, max_context_len=width)
  indices = None if operands.indices is None else jnp.asarray(operands.indices)
  found = jax.jit(lambda *x: f(*x, indices=indices))(*arguments(operands))
  check(found, expected(operands, k, width or 96))


def test_chunks_of_sequences_are_put_together(monkeypatch):
  wanted = expected(given(), 20)
  monkeypatch.setattr(mqa_rows, "_MOST_SCORES", 3 * 2 * 96)
  check(jax.jit(lambda *x: topk(*x))(*arguments(given())), wanted)


def test_rows_of_a_batch_make_one_call():
  q, cache, weights, lens, table = arguments(given())
  halves = [x.reshape(2, 2, *x.shape[1:]) for x in (q, lens, table)]
  weights = weights.reshape(2, 4, -1)
  f = jax.vmap(topk, (0, None, 0, 0, 0))
  arrays = (halves[0], cache, weights, *halves[1:])
  check(jax.jit(f)(*arrays), expected(given(), 20))
  assert str(jax.make_jaxpr(f)(*arrays)).count("paged_mqa_topk[") == 1


@pytest.mark.parametrize("axis_type", [AxisType.Explicit, AxisType.Auto])
def test_sharded_sequences_need_no_communication(axis_type):
  mesh = jax.make_mesh((4,), ("x",), axis_types=(axis_type,))
  specs = (P("x"), P(), P("x"), P("x"), P("x"))
  arrays = [
    jax.device_put(x, NamedSharding(mesh, spec))
    for x, spec in zip(arguments(given()), specs, strict=True)
  ]
  with jax.set_mesh(mesh):
    found, cost = run(topk, *arrays)
  check(found, expected(given(), 20))
  assert cost == {}
  for x in found:
    assert x.sharding.is_equivalent_to(NamedSharding(mesh, P("x")), 2)


def test_a_gpu_selects_from_paged_logits():
  lowered = kernel_programs.lowered_for(
    jax.jit(topk), *arguments(given()), device="NVIDIA H200"
  )
  found = kernel_programs.launches(lowered)
  names = [launch["kernel"] for launch in found]
  assert names == ["sm90_fp8_paged_mqa_logits", *["sm90_row_topk"] * 2]
  assert found[1]["params"]["p06"]["value"] == 96


def test_there_may_be_no_key():
  q, cache, weights, lens, table = arguments(given())
  values, keys = topk(q, cache, weights, lens, table[:, :0])
  assert values.shape == keys.shape == (8, 20)
  assert np.all(np.asarray(values) == -np.inf)
  assert np.all(np.asarray(keys) == -1)


def test_there_is_no_gradient():
  q, cache, weights, lens, table = arguments(given())

  def loss(weights):
    return topk(q, cache, weights, lens, table)[0].sum()

  with pytest.raises(NotImplementedError, match="gather the keys and call"):
    jax.grad(loss)(weights)


@pytest.mark.parametrize(
  ("settings", "error", "message"),
  [
    ({"k": 0}, ValueError, "k must be 1 to 2147483647, got 0"),
    ({"max_context_len": 1.0}, TypeError, "max_context_len must be an integer"),
  ],
)
def test_a_wrong_size_is_named(settings, error, message):
  with pytest.raises(error, match=message):
    topk(*arguments(given()), **settings)
