"""`moe_mlp` on a Hopper GPU beside its reference."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_deepgemm as dg
from tests.gpu.gemm_data import on_the_cpu, row_error
from tests.moe.moe_oracle import layer

pytestmark = pytest.mark.gpu

# Noise of 1e-3 in the reference's sums, as FP8 tensor cores leave it, moves
# codes of what comes between the products: 0.016 of all, 0.05 of a row.
BOUND, ROW_BOUND = 0.02, 0.08


def run(operands, implementation, **settings):
  """Returns the result and the gradients, as float64."""
  *arrays, sizes = operands
  rows, columns = len(operands.x), operands.w_down.shape[2]
  dy = np.random.default_rng(3).normal(size=(rows, columns))
  dy[operands.sizes.sum() :] = np.nan

  @jax.jit
  def step(arrays, sizes, dy):
    y, pull = jax.vjp(
      lambda *arrays: dg.moe_mlp(*arrays, sizes, **settings), *arrays
    )
    return y, *pull(dy)

  with dg.options(implementation=implementation):
    found = step(arrays, sizes, dy.astype(operands.x.dtype))
  return [np.asarray(x, float) for x in found]


@pytest.mark.parametrize("residuals", ["fp8", "bf16"])
@pytest.mark.parametrize(
  ("hidden", "dtype"),
  # No kernel casts gradients to halves of 144 columns: jax.numpy does.
  [(256, jnp.bfloat16), (256, jnp.float32), (144, jnp.float32)],
)
def test_kernels_compute_what_the_reference_does(hidden, dtype, residuals):
  operands = layer([300, 0, 1, 515, 64], 272, hidden, 200, spare=9, dtype=dtype)
  kernels = "kernel" if hidden % 128 == 0 else "auto"
  found = run(operands, kernels, residuals=residuals)
  with on_the_cpu():
    expected = run(operands, "reference", residuals=residuals)
  for x, y in zip(found, expected, strict=True):
    assert np.linalg.norm(x - y) < BOUND * np.linalg.norm(y)
    assert row_error(x, y) < ROW_BOUND
  np.testing.assert_array_equal(found[0][-9:], 0)
  np.testing.assert_array_equal(found[1][-9:], 0)
  again = run(operands, kernels, residuals=residuals)
  for x, y in zip(found, again, strict=True):
    np.testing.assert_array_equal(x, y)
