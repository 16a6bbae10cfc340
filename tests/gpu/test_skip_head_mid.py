"""fp8_gemm_nt_skip_head_mid on a GPU: the kernel's columns, zeros between."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_deepgemm

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("m", [128, 4096])
@pytest.mark.parametrize("n", [8192, 32768])
def test_columns_are_those_of_the_product(m, n):
  left, mid, right = splits = (128, 64, 128)
  keys = jax.random.split(jax.random.key(0))
  a = jax_deepgemm.per_token_cast_to_fp8(
    jax.random.normal(keys[0], (m, 512), jnp.bfloat16)
  )
  b = jax_deepgemm.per_block_cast_to_fp8(
    jax.random.normal(keys[1], (n, 512), jnp.bfloat16)
  )
  run = jax.jit(
    lambda a, b: jax_deepgemm.fp8_gemm_nt_skip_head_mid(a, b, splits)
  )
  heads = np.asarray(run(a, b)).reshape(m, -1, left + mid + right)
  product = np.asarray(jax.jit(jax_deepgemm.fp8_gemm_nt)(a, b))
  product = product.reshape(m, -1, left + right)
  np.testing.assert_array_equal(heads[:, :, :left], product[:, :, :left])
  np.testing.assert_array_equal(heads[:, :, left + mid :], product[:, :, left:])
  assert not heads[:, :, left : left + mid].any()
