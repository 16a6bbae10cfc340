"""fp8_gemm_nt under checkpoint, scan, donation and jit's cache."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_deepgemm as dg


def normal(shape, seed, dtype=jnp.float32):
  return jnp.asarray(np.random.default_rng(seed).normal(size=shape), dtype)


A, B, C = normal((12, 256), 0), normal((256, 256), 1), normal((12, 256), 2)


def loss(a, b):
  return (dg.fp8_gemm_nt(a, b, out_dtype=jnp.float32) ** 2).sum()


@pytest.mark.parametrize(
  "policy",
  [None, jax.checkpoint_policies.everything_saveable],
  ids=["recompute", "save"],
)
def test_checkpoint_changes_no_gradient(policy):
  expected = jax.jit(jax.grad(loss, (0, 1)))(A, B)
  found = jax.jit(jax.grad(jax.checkpoint(loss, policy=policy), (0, 1)))(A, B)
  for x, y in zip(found, expected, strict=True):
    np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("as_argument", [True, False])
def test_checkpoint_keeps_the_largest_codes_of_a_quantised_weight(as_argument):
  weight = dg.per_block_cast_to_fp8(B)
  assert np.max(np.abs(np.asarray(weight.values, np.float32))) == 448
  expected = jax.jit(jax.grad(loss))(A, weight)
  if as_argument:
    found = jax.jit(jax.grad(jax.checkpoint(loss)))(A, weight)
  else:
    f = jax.checkpoint(lambda a: loss(a, weight))
    found = jax.jit(jax.grad(f))(A)
  np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("wrap", [lambda f: f, jax.checkpoint])
def test_scan_over_layers_is_the_loop(wrap):
  weights = normal((3, 256, 256), 3) / np.float32(16)

  def layer(x, w):
    return dg.fp8_gemm_nt(x, w, out_dtype=jnp.float32)

  def scanned(x, weights):
    step = wrap(lambda x, w: (layer(x, w), None))
    return (jax.lax.scan(step, x, weights)[0] ** 2).sum()

  def looped(x, weights):
    for w in weights:
      x = layer(x, w)
    return (x**2).sum()

  found = jax.jit(jax.value_and_grad(scanned, (0, 1)))(A, weights)
  expected = jax.jit(jax.value_and_grad(looped, (0, 1)))(A, weights)
  jax.tree.map(
    lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-3),
    found,
    expected,
  )


def test_a_donated_c_becomes_the_result():
  f = jax.jit(lambda a, b, c: dg.fp8_gemm_nt(a, b, c), donate_argnums=2)
  expected = dg.fp8_gemm_nt(A, B, C)
  donated = C.copy()
  address = donated.unsafe_buffer_pointer()
  found = f(A, B, donated)
  np.testing.assert_allclose(found, expected, rtol=1e-6)
  assert donated.is_deleted()
  assert found.unsafe_buffer_pointer() == address


def test_a_kept_c_is_not_written():
  c = C.copy()
  dg.fp8_gemm_nt(A, B, c)
  np.testing.assert_array_equal(c, C)


def test_jit_traces_again_for_other_options_only():
  traces = []

  @jax.jit
  def f(a, b):
    traces.append(dg.fp8_gemm_nt(a, b))
    return traces[-1]

  f(A, B)
  with dg.options(num_sms=64):
    f(A, B)
    f(A, B)
  with dg.options(num_sms=64):
    f(A, B)
  f(A, B)
  assert len(traces) == 2


def test_the_options_are_in_the_program():
  with dg.options(pdl=True):
    assert "pdl=True" in str(jax.make_jaxpr(dg.fp8_gemm_nt)(A, B))
  assert "pdl=False" in str(jax.make_jaxpr(dg.fp8_gemm_nt)(A, B))


def test_cond_and_while_contain_it():
  def step(state):
    i, x = state
    y = dg.fp8_gemm_nt(x, B, out_dtype=jnp.float32)
    return i + 1, jax.lax.cond(i == 0, lambda: y, lambda: x)

  _, found = jax.jit(
    lambda x: jax.lax.while_loop(lambda s: s[0] < 2, step, (0, x))
  )(A)
  np.testing.assert_allclose(
    found, dg.fp8_gemm_nt(A, B, out_dtype=jnp.float32), rtol=1e-6
  )
