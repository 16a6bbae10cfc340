"""Rows are padded right on a GPU, byte by byte."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_deepgemm.options import Options
from jax_deepgemm.primitives import sm90_pad_rows
from tests.emulator.pad_rows_case import PadRowsCase
from tests.emulator.test_pad_rows import CASES
from tests.gpu.gemm_data import poison_device_memory

pytestmark = pytest.mark.gpu

# What products copy, several waves of CTAs; short rows.
LARGE = [
  PadRowsCase(((4096, 7152, 7168), (4096, 7152, 7168))),
  PadRowsCase(((1000, 1000, 1024), (1000, 1000, 1024))),
  PadRowsCase(((4096, 7151, 7168), (100, 7151, 7168))),
  PadRowsCase(((100001, 33, 48),)),
]


@pytest.mark.parametrize("case", [*CASES, *LARGE], ids=PadRowsCase.id)
def test_every_byte_is_where_it_belongs(case):
  operands = [jnp.asarray(x) for x in case.operands()]
  poison_device_memory()
  result = jax.jit(case.padded)(*operands)
  np.testing.assert_array_equal(result, case.expected()[0])


def test_more_than_4_gb_are_padded():
  rows, row_bytes, pitch = 2_200_000, 2001, 2016

  @jax.jit
  def is_right():
    row = jnp.arange(rows, dtype=jnp.uint32)[:, None]
    column = jnp.arange(row_bytes, dtype=jnp.uint32)
    x = (row * 251 + column).astype(jnp.uint8)
    (padded,) = sm90_pad_rows.run([x], [pitch], options=Options())
    zeros = padded[:, row_bytes:] == 0
    return jnp.all(padded[:, :row_bytes] == x) & jnp.all(zeros)

  assert is_right()
