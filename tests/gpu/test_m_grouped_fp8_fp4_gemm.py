"""Groups of rows with FP4 weights on a GPU."""

import functools
import random

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.heuristics.m_grouped_fp8_fp4_gemm_problem import (
  MGroupedFp8Fp4GemmProblem,
)
from jax_deepgemm.heuristics.m_grouped_fp8_fp4_gemm_swapped import (
  legal_grouped_swapped_configs,
)
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import (
  kernel_library,
  sm90_m_grouped_fp8_fp4_gemm,
  sm90_m_grouped_fp8_fp4_gemm_swapped,
)
from tests.gpu.fp4_data import EXACT, WIDE
from tests.gpu.gemm_data import poison_device_memory, row_error
from tests.gpu.m_grouped_data import RowGroups
from tests.gpu.m_grouped_fp4_data import operands, product

pytestmark = pytest.mark.gpu

GROUPS = [
  RowGroups("masked", (0, 64, 5, 190), 200),
  RowGroups("ragged", (3, 0, 700, 1, 170), 900),
  RowGroups("psum", (130, 60, 200), 520, 64),
]
# For the kernel for few rows, in tiles that hold them and that do not.
FEW = [
  RowGroups("masked", (0, 1, 3, 20, 65), 80),
  RowGroups("ragged", (1, 0, 3, 20, 65, 0), 100),
  RowGroups("psum", (1, 20, 65, 3), 320, 64),
  RowGroups("index", (3, 20, 65, 1), 320, 64),
]
NUM_CONFIGS = 16
NUM_REPEATS = 20


def _run(groups, arrays, *, expected_m=None, **options):
  """Returns D, `[rows, n]`."""
  run = functools.partial(
    sm90_m_grouped_fp8_fp4_gemm.run,
    layout=groups.layout,
    alignment=groups.alignment,
    expected_m=expected_m,
    zero_padding=True,
    out_dtype=np.dtype(jnp.bfloat16),
    options=Options(**options),
    device=H200,
  )
  arguments = [jnp.asarray(x) for x in (*arrays, groups.array())]
  d = np.asarray(jax.jit(run)(*arguments))
  return d.reshape(groups.num_rows, -1)


@pytest.mark.parametrize("groups", GROUPS, ids=lambda g: g.layout)
@pytest.mark.parametrize("exponents", [EXACT, WIDE], ids=str)
def test_rows_are_those_of_their_groups(groups, exponents):
  arrays = operands(groups, 1000, 672, exponents)
  expected, _ = product(groups, *arrays)
  poison_device_memory(1)
  actual = _run(groups, arrays, batch_invariant=True)
  assert row_error(actual, expected) < 1e-2
  again = _run(groups, arrays, batch_invariant=True)
  np.testing.assert_array_equal(again, actual)


@pytest.mark.parametrize("groups", FEW, ids=lambda g: g.layout)
@pytest.mark.parametrize("expected_m", [1, 20])
@pytest.mark.parametrize("exponents", [EXACT, WIDE], ids=str)
def test_few_rows_are_those_of_their_groups(groups, expected_m, exponents):
  for n, k in ((1000, 672), (72, 2048)):
    arrays = operands(groups, n, k, exponents)
    expected, size = product(groups, *arrays)
    poison_device_memory(1)
    actual = _run(groups, arrays, expected_m=expected_m)
    # Element by element: with wide exponents none may hide behind others.
    bound = 2e-3 * size + 2.0**-8 * np.abs(expected)
    assert np.all(np.abs(actual.astype(np.float64) - expected) <= bound)


@pytest.mark.parametrize("layout", ["ragged", "masked"])
def test_sampled_forms_for_few_rows_are_right(monkeypatch, layout):
  groups = next(groups for groups in FEW if groups.layout == layout)
  num_groups = len(groups.sizes)
  n, k = 400, 1184
  problem = MGroupedFp8Fp4GemmProblem(groups.num_rows, n, k, num_groups, 20)
  arrays = operands(groups, n, k, EXACT)
  expected, _ = product(groups, *arrays)
  configs = sorted(legal_grouped_swapped_configs(problem, H200), key=str)
  configs = random.Random(0).sample(configs, NUM_CONFIGS)
  for config in configs:
    recipe = sm90_m_grouped_fp8_fp4_gemm_swapped.recipe(config)
    kernel_library.library().prefetch(recipe)
  wrong = []
  for config in configs:
    monkeypatch.setattr(
      sm90_m_grouped_fp8_fp4_gemm,
      "choose_grouped",
      lambda *_, config=config, **__: config,
    )
    error = row_error(_run(groups, arrays), expected)
    if not error < 1e-2:
      wrong.append((error, config))
  assert not wrong


def test_a_row_has_the_same_bits_whatever_others_its_group_has():
  """Many tiles a CTA; the ring goes round, and some tiles are shared."""
  few, many = ((1,) * 40, (1, 70) * 20)
  rows = {}
  for sizes in (few, many):
    groups = RowGroups("masked", sizes, 72)
    arrays = operands(RowGroups("masked", (72,) * 40, 72), 2048, 1024)
    poison_device_memory(1)
    first = _run(groups, arrays, expected_m=8)
    for _ in range(NUM_REPEATS):
      again = _run(groups, arrays, expected_m=8)
      np.testing.assert_array_equal(again, first)
    rows[sizes] = first[::72].view(np.uint16)
  np.testing.assert_array_equal(rows[few], rows[many])
