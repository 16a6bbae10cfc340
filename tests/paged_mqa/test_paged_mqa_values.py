"""fp8_paged_mqa_logits against the oracle, on the CPU."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_deepgemm as dg
from tests import paged_mqa_data

_BITS = 20
_LOWEST, _HIGHEST = -(2**31), 2**31 - 1


@functools.partial(jax.jit, static_argnames=("width", "clean", "dtype"))
def logits(arrays, indices=None, *, width, clean=True, dtype=jnp.float32):
  return dg.fp8_paged_mqa_logits(*arrays, None, width, clean, dtype, indices)


def found_of(given, **settings):
  arrays = given.arguments()[:5]
  return np.asarray(logits(arrays, given.indices, **settings))


@pytest.mark.parametrize(
  ("lens", "heads", "dim", "block_kv", "settings"),
  [
    ([[40], [0], [65], [128]], 8, 32, 32, {"width": 128}),
    ([[40, 41], [0, 9]], 64, 128, 64, {"width": 70, "dtype": jnp.bfloat16}),
    ([[_HIGHEST, 3, 7], [_LOWEST, 9, 0]], 16, 64, 32, {"width": 200}),
    ([[40], [0], [65]], 32, 32, 64, {"width": 128, "clean": False}),
  ],
)
def test_logits_are_those_of_the_formula(lens, heads, dim, block_kv, settings):
  given = paged_mqa_data.operands(lens, heads, dim, block_kv, 4)
  found = found_of(given, **settings)
  assert found.shape == (given.lens.size, settings["width"])
  assert found.dtype == settings.get("dtype", jnp.float32)
  # Undefined on a GPU, zeros here.
  fill = -np.inf if settings.get("clean", True) else 0.0
  assert paged_mqa_data.wrong(found, given, _BITS, fill).size == 0


def test_rows_of_one_sequence_share_its_pages():
  lens = [[40], [41], [3], [0], [64]]
  given = paged_mqa_data.operands(lens, 8, 32, 32, 2, indices=[4, 4, 4, 0, 4])
  assert (given.table[0] == given.table[2]).all()
  found = found_of(given, width=64)
  assert paged_mqa_data.wrong(found, given, _BITS, -np.inf).size == 0


def test_entries_of_the_table_that_name_no_page_are_cut():
  given = paged_mqa_data.operands([[90], [20]], 8, 32, 32, 3, wild=True)
  found = found_of(given, width=96)
  assert paged_mqa_data.wrong(found, given, _BITS, -np.inf).size == 0


@pytest.mark.parametrize(
  ("batch", "next_n", "blocks", "width"),
  [(0, 2, 3, 9), (2, 0, 3, 9), (2, 1, 0, 9), (2, 1, 3, 0)],
)
def test_there_may_be_nothing(batch, next_n, blocks, width):
  found = dg.fp8_paged_mqa_logits(
    jnp.zeros((batch, next_n, 8, 32), jnp.float8_e4m3fn),
    jnp.zeros((5, 32, 1, 36), jnp.uint8),
    jnp.zeros((batch * next_n, 8)),
    jnp.full((batch, next_n), 7, jnp.int32),
    jnp.zeros((batch, blocks), jnp.int32),
    None,
    width,
    True,
  )
  assert found.shape == (batch * next_n, width)
  assert np.all(np.asarray(found) == -np.inf)


def test_a_cache_without_pages_has_no_keys():
  given = paged_mqa_data.operands([[7]], 8, 32, 32, 1)
  arrays = list(given.arguments()[:5])
  arrays[1] = arrays[1][:0]
  found = dg.fp8_paged_mqa_logits(*arrays, None, 9, True)
  assert np.all(np.asarray(found) == -np.inf)


def metadata(lens, num_sms, **fields):
  lens = jnp.asarray(lens, jnp.int32)
  f = jax.jit(dg.get_paged_mqa_logits_metadata, static_argnums=(1, 2))
  found = f(lens, 64, num_sms, **fields)
  assert found.dtype == jnp.int32
  assert found.shape == (num_sms + 1, 2)
  return found.tolist()


def test_metadata_divides_segments_evenly():
  # 2, 0, 1 and 3 segments of 256 keys.
  lens = [[1, 257], [0, 0], [256, -9], [513, 600]]
  assert metadata(lens, 3) == [[0, 0], [2, 0], [3, 1], [4, 0]]
  assert metadata(lens, 1) == [[0, 0], [4, 0]]
  found = metadata(lens, 7)
  assert found == [
    [0, 0],
    [0, 0],
    [0, 1],
    [2, 0],
    [3, 0],
    [3, 1],
    [3, 2],
    [4, 0],
  ]


def test_metadata_of_runs_names_their_first_rows():
  lens = [[1], [300], [256], [9]]
  indices = jnp.array([5, 5, 5, 2], jnp.int32)
  assert metadata(lens, 3, indices=indices) == [[0, 0], [0, 1], [3, 0], [4, 0]]


def test_metadata_of_no_keys_at_all_is_the_end():
  assert metadata([[0], [0]], 2) == [[2, 0]] * 3
  assert metadata(np.zeros((0, 1)), 2) == [[0, 0]] * 3


def test_metadata_does_not_overflow():
  lens = [[_HIGHEST]] * 200
  found = metadata(lens, 132)
  segments = 2**23
  for share, (sequence, segment) in enumerate(found):
    begin = 200 * segments * share // 132
    assert abs(sequence * segments + segment - begin) <= 132


def test_metadata_has_a_row_for_each_multiprocessor():
  lens = jnp.ones((3, 1), jnp.int32)

  def shape():
    f = functools.partial(dg.get_paged_mqa_logits_metadata, block_kv=32)
    return jax.eval_shape(f, lens).shape

  assert shape() == (133, 2)
  with dg.options(num_sms=20):
    assert shape() == (21, 2)
