"""The casts' kernels give the bits of the reference on a GPU."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_deepgemm as jd
from jax_deepgemm.heuristics.sm90_cast import CastSource
from jax_deepgemm.options import Options
from jax_deepgemm.primitives.cast import cast
from jax_deepgemm.testing import calc_diff
from tests.emulator.cast_case import (
  CastCase,
  cast_case,
  comparable,
  expected_cast,
  operands,
  wrong_results,
)
from tests.emulator.test_casts import CASES, FUSED
from tests.emulator.test_fast_math import check_errors
from tests.gpu.gemm_data import on_the_cpu, poison_device_memory

pytestmark = pytest.mark.gpu

# Several waves of CTAs; what a model casts.
LARGE = [
  cast_case("rows", 1, 7168, mn_major=True),
  cast_case("rows", 4096, 7168, mn_major=True),
  cast_case("rows", 4095, 7160, float32_in=True, use_ue8m0=True),
  cast_case(
    "rows", *(4096, 7168), gran=32, fp4=True, use_ue8m0=True, packed=True
  ),
  cast_case("rows", 4095, 7166, fp4=True, float32_in=True),
  cast_case("columns", 1000, 2056),
  cast_case("blocks", 2112, 7168),
  cast_case("transposed", 4096, 2048),
  cast_case("transposed", 1111, 2047, float32_in=True),
  cast_case("both", 4096, 2048),
  cast_case("grouped", 4096, 2048, sizes=(1000, 0, 2000, 1, 700)),
]
_SIZES = (1000, 0, 2000, 1, 700)
LARGE_FUSED = [
  cast_case(
    *("live_rows", 16384, 2048),
    source=CastSource.WEIGHTED_SWIGLU,
    sizes=(1000, 0, 2000, 1, 4000),
  ),
  cast_case("blocks_both", 2112, 7168),
  cast_case("rows_grouped", 4096, 2048, sizes=_SIZES),
  cast_case(
    "rows",
    4095,
    2040,
    float32_in=True,
    use_ue8m0=True,
    source=CastSource.SWIGLU,
  ),
  *(
    cast_case(kind, 2048, 2048, mn_major=kind == "rows", source=source, sizes=s)
    for source in (
      CastSource.GATHER,
      CastSource.SWIGLU,
      CastSource.WEIGHTED_SWIGLU,
      CastSource.SWIGLU_GRADIENT,
      CastSource.RMS_NORM,
    )
    for kind, s in (("rows", ()), ("both", ()), ("rows_grouped", (900, 0, 700)))
  ),
]


def _kernel(case):
  """Returns the kernel's results for operands on the GPU."""
  options = Options(implementation="kernel")

  @jax.jit
  def function(*operands):
    return cast(*operands, form=case.form, options=options)

  return function


@pytest.mark.parametrize(
  "case", [*CASES, *FUSED, *LARGE, *LARGE_FUSED], ids=CastCase.id
)
def test_results_are_those_of_the_reference(case):
  with on_the_cpu():
    expected = expected_cast(case)
  poison_device_memory(1)
  x = list(map(np.asarray, operands(case)))
  results = comparable(case, _kernel(case)(*x))
  again = comparable(case, _kernel(case)(*x))
  for a, b in zip(results, again, strict=True):
    np.testing.assert_array_equal(a.view(np.uint8), b.view(np.uint8))
  wrong = wrong_results(case, results, expected)
  assert not wrong, f"{len(wrong)} elements are wrong, the first {wrong[0]}"


def test_slow_exponentials_are_near_to_float64():
  options = Options(implementation="kernel")
  check_errors(functools.partial(cast, options=options))


def test_options_of_the_launch_do_not_change_the_bits():
  case = LARGE[-2]
  x = jax.device_put(operands(case))
  expected = [np.asarray(r) for r in _kernel(case)(*x)]

  @jax.jit
  def with_pdl(x):
    # A kernel before, which the cast must wait for.
    x = jnp.where(x == x, x, 0)
    options = Options(implementation="kernel", pdl=True)
    return cast(x, form=case.form, options=options)

  finite = jnp.where(x[0] == x[0], x[0], 0)
  reference = [np.asarray(r) for r in _kernel(case)(finite)]
  for _ in range(10):
    again = [np.asarray(r) for r in with_pdl(*x)]
    assert not wrong_results(case, again, reference)
    assert not wrong_results(
      case, [np.asarray(r) for r in _kernel(case)(*x)], expected
    )


def test_scales_reach_the_product_without_a_transpose():
  x = jnp.ones((4096, 7168), jnp.bfloat16)
  b = jd.per_block_cast_to_fp8(jnp.ones((2112, 7168), jnp.bfloat16))

  @jax.jit
  def product(x, b):
    return jd.fp8_gemm_nt(jd.per_token_cast_to_fp8(x), b)

  with jd.options(implementation="kernel"):
    text = product.lower(x, b).compile().as_text()
    result = product(x, b)
  assert text.count("jax_deepgemm_launch") == 2
  assert "fusion(" not in text
  np.testing.assert_array_equal(np.asarray(result), 7168)


def test_gradients_with_kernels_are_those_of_the_reference():
  a = jax.random.normal(jax.random.key(0), (256, 384), jnp.bfloat16)
  b = jax.random.normal(jax.random.key(1), (320, 384), jnp.bfloat16)

  def loss(a, b):
    return jnp.sum(jnp.sin(jd.fp8_gemm_nt(a, b, out_dtype=jnp.float32)))

  def gradients(implementation):
    with jd.options(implementation=implementation):
      return jax.jit(jax.grad(loss, argnums=(0, 1)))(a, b)

  for kernel, reference in zip(
    gradients("kernel"), gradients("reference"), strict=True
  ):
    assert calc_diff(kernel, reference) < 1e-3
