"""The kernels of paged_mqa_topk against their logits, on a Hopper GPU."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_deepgemm as jd
from jax_deepgemm.heuristics import topk_chunks
from tests import paged_mqa_data, topk_data
from tests.gpu.gemm_data import poison_device_memory

pytestmark = pytest.mark.gpu

_MAX_BLOCKS = 40


@pytest.mark.parametrize(
  ("batch", "next_n", "k", "chunk_bytes"),
  [(37, 2, 300, 96 << 20), (37, 2, 300, 4 * 2560 * 10), (1, 1, 2048, 96 << 20)],
)
def test_keys_are_those_of_the_kernels_logits(
  monkeypatch, batch, next_n, k, chunk_bytes
):
  # All sequences at once, or in chunks of five.
  monkeypatch.setattr(topk_chunks, "_WANTED_BYTES", chunk_bytes)
  monkeypatch.setattr(topk_chunks, "_MOST_BYTES", chunk_bytes)
  random = np.random.default_rng(0)
  lens = random.integers(0, _MAX_BLOCKS * 64 + 1, (batch, next_n))
  given = paged_mqa_data.operands(lens, 64, 128, 64, _MAX_BLOCKS)
  names = ("q", "cache", "weights", "lens", "table")
  arrays = [jnp.asarray(getattr(given, name)) for name in names]
  width = _MAX_BLOCKS * 64
  poison_device_memory()
  with jd.options(implementation="kernel"):
    found = jax.jit(lambda *x: jd.paged_mqa_topk(*x, k))(*arrays)
    logits = jax.jit(lambda *x: jd.fp8_paged_mqa_logits(*x, None, width))(
      *arrays
    )
  ends = given.lens.reshape(-1)
  wanted = topk_data.of_ranges(
    np.asarray(logits), np.zeros_like(ends), ends, width, k
  )
  for x, y in zip(found, wanted, strict=True):
    np.testing.assert_array_equal(x, y)
