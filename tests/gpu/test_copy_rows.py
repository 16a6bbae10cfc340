"""Copies of rows to another pitch on a GPU, byte by byte."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_deepgemm.options import Options
from jax_deepgemm.primitives import sm90_copy_rows
from tests.emulator.copy_rows_case import CopyRowsCase, flat
from tests.emulator.test_copy_rows import CASES
from tests.gpu.gemm_data import poison_device_memory

pytestmark = pytest.mark.gpu

# Several waves of CTAs; what products copy.
LARGE = [
  CopyRowsCase(1, ((4096, 7152, 7168), (4096, 7152, 7168))),
  CopyRowsCase(1, ((1000, 1000, 1024), (1000, 1000, 1024))),
  CopyRowsCase(1, ((4096, 7151, 7168), (100, 7151, 7168))),
  CopyRowsCase(2, ((4096, 7150, 7152),)),
  CopyRowsCase(2, ((4096, 7176, 7169),)),
  CopyRowsCase(4, ((4095, 7172, 7169),)),
  CopyRowsCase(1, ((100001, 33, 48),)),
  CopyRowsCase(2, ((100001, 16, 9),)),
]


def _copy(case, operands):
  columns = [n for *_, n in case.arrays]

  @jax.jit
  def copy(*arrays):
    return sm90_copy_rows.run(arrays, columns, options=Options())

  return copy(*map(jnp.asarray, operands))


@pytest.mark.parametrize("case", [*CASES, *LARGE], ids=CopyRowsCase.id)
def test_every_byte_is_where_it_belongs(case):
  poison_device_memory()
  result = flat(_copy(case, case.operands()))
  np.testing.assert_array_equal(result, case.expected()[0])


def test_more_than_4_gb_are_copied():
  rows, columns = 2_300_000, 2001

  @jax.jit
  def is_right():
    at = jnp.arange(rows, dtype=jnp.uint32)[:, None]
    x = (at * 251 + jnp.arange(columns, dtype=jnp.uint32)).astype(jnp.uint8)
    (wide,) = sm90_copy_rows.run([x], [2016], options=Options())
    (narrow,) = sm90_copy_rows.run([wide], [columns], options=Options())
    zeros = jnp.all(wide[:, columns:] == 0)
    return zeros & jnp.all(wide[:, :columns] == x) & jnp.all(narrow == x)

  assert is_right()
