"""The kernels of mqa_topk one after the other, in chunks of rows."""

import functools
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_deepgemm.heuristics import topk_chunks
from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import (
  launch,
  paged_mqa_topk_lowering,
  sm90_fp8_mqa_logits,
  sm90_fp8_paged_mqa_logits,
  sm90_mqa_topk,
)
from jax_deepgemm.primitives.paged_mqa_form import PagedTopkForm
from jax_deepgemm.primitives.topk_form import TopkForm
from tests import mqa_data, paged_mqa_data, topk_data
from tests.emulator.emulator import Emulator

_RANGES = [(3, 17), (120, 90), (29, 131), (-(2**31), 2**31 - 1), (130, 131)]
_SETTINGS = {"options": Options(num_sms=2), "device": H200}


@pytest.fixture
def emulated(toolchain, monkeypatch):
  """Launches on the emulator, except where shapes alone are asked for."""
  launched = Emulator(toolchain).launcher(0)

  def call(kernel_calls, operands, results, aliases=None):
    if any(isinstance(x, jax.core.Tracer) for x in operands):
      return [jnp.zeros(x.shape, x.dtype) for x in results]
    return launched(kernel_calls, operands, results, aliases)

  monkeypatch.setattr(launch, "call", call)
  with jax.disable_jit():
    yield


def _check(found, values, starts, ends, num_keys, k):
  wanted = topk_data.of_ranges(np.asarray(values), starts, ends, num_keys, k)
  for x, y in zip(found, wanted, strict=True):
    np.testing.assert_array_equal(np.reshape(x, y.shape), y)


def _in_chunks(rows, width):
  most = rows * width * 4
  return mock.patch.multiple(topk_chunks, _WANTED_BYTES=most, _MOST_BYTES=most)


def test_rows_of_chunks_are_those_of_all_logits(emulated):
  arrays = mqa_data.operands(7, 131, 8, 32, _RANGES)
  operands = tuple(map(jnp.asarray, arrays))
  # Columns are 76, of which a row has 75.
  form = TopkForm(k=20, max_seqlen_k=75)
  with _in_chunks(3, 76):
    found = sm90_mqa_topk.run(*operands, form=form, **_SETTINGS)
  logits = functools.partial(sm90_fp8_mqa_logits.run, **_SETTINGS)
  values = logits(*operands, form=form.logits(131, 4))
  _check(found, values[:, :75], *arrays[4:], 131, 20)


def test_sequences_of_chunks_are_those_of_all_logits(emulated):
  lens = [(96, 1), (0, 40), (-(2**31), 2**31 - 1), (33, 64)]
  given = paged_mqa_data.operands(lens, 8, 32, 32, 3)
  num_pages = len(given.cache)
  arrays = (
    given.q,
    given.cache.reshape(num_pages, -1),
    given.weights.reshape(4, 2, 8),
    given.lens,
    given.table,
  )
  operands = tuple(map(jnp.asarray, arrays))
  form = PagedTopkForm(k=20, width=90, is_varlen=False)
  with _in_chunks(6, 92):
    found = paged_mqa_topk_lowering.run(*operands, form=form, **_SETTINGS)
  logits = functools.partial(sm90_fp8_paged_mqa_logits.run, **_SETTINGS)
  values = logits(*operands, form=form.logits(4)).reshape(8, -1)
  ends = given.lens.reshape(-1)
  _check(found, values[:, :90], np.zeros_like(ends), ends, 90, 20)
