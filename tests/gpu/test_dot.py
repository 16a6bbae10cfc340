"""Training on a Hopper GPU: kernels beside the reference in jax.numpy."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_deepgemm as jd
from tests.dot.dot_oracle import normal
from tests.gpu.gemm_data import on_the_cpu, poison_device_memory, row_error

pytestmark = pytest.mark.gpu

FLAX = (((1,), (0,)), ((), ()))
TORCH = (((1,), (1,)), ((), ()))
EXPERTS = (((2,), (1,)), ((0,), (0,)))
SIZES = np.array([130, 0, 1, 300, 17], np.int32)
TAIL = 9
# What FP8 tensor cores leave of float32, see docs/performance.md.
BOUND = 1e-3


def both_agree(f, *arrays):
  """Checks y and its cotangents, by kernels and by the reference."""

  def step(implementation, *arrays):
    *primals, dy = arrays
    with jd.options(implementation=implementation):
      y, vjp = jax.vjp(f, *primals)
      return y, *vjp(dy)

  poison_device_memory()
  arrays = [np.asarray(v) for v in arrays]
  found = jax.jit(functools.partial(step, "kernel"))(*arrays)
  again = jax.jit(functools.partial(step, "kernel"))(*arrays)
  with on_the_cpu():
    expected = jax.jit(functools.partial(step, "reference"))(*arrays)
  for v, u, w in zip(found, expected, again, strict=True):
    u = np.asarray(u).astype(np.float64)
    assert np.all(np.isfinite(np.asarray(v).astype(np.float64)))
    assert row_error(v, u) < BOUND + (2**-8 if v.dtype != np.float32 else 0)
    np.testing.assert_array_equal(
      np.asarray(v).astype(np.float32), np.asarray(w).astype(np.float32)
    )


@pytest.mark.parametrize("residuals", ["fp8", "bf16"])
@pytest.mark.parametrize(
  ("lhs", "rhs", "dims", "dtype"),
  [
    ((256, 512), (512, 384), FLAX, jnp.bfloat16),
    ((139, 301), (301, 203), FLAX, jnp.float32),
    ((139, 301), (203, 301), TORCH, jnp.bfloat16),
    ((3, 70, 200), (3, 200, 130), EXPERTS, jnp.float32),
    ((1, 5), (5, 2), FLAX, jnp.bfloat16),
  ],
  ids=str,
)
def test_a_dot_is_its_reference(lhs, rhs, dims, dtype, residuals):
  shape = jax.eval_shape(
    lambda x, w: jax.lax.dot_general(x, w, dims), jnp.ones(lhs), jnp.ones(rhs)
  ).shape
  arrays = (normal(s, i) for i, s in enumerate((lhs, rhs, shape)))

  def f(x, w):
    return jd.fp8_dot_general(x, w, dims, residuals=residuals)

  both_agree(f, *(jnp.asarray(v, dtype) for v in arrays))


@pytest.mark.parametrize("residuals", ["fp8", "bf16"])
@pytest.mark.parametrize(
  ("k", "n", "dtype"), [(512, 384, jnp.bfloat16), (301, 203, jnp.float32)]
)
def test_a_ragged_dot_is_its_reference(k, n, dtype, residuals):
  m = SIZES.sum() + TAIL
  x, dy = normal((m, k), 0), normal((m, n), 2)
  x[-TAIL:], dy[-TAIL:] = np.nan, np.nan
  w = normal((len(SIZES), k, n), 1)

  def f(x, w):
    return jd.fp8_ragged_dot(x, w, jnp.asarray(SIZES), residuals=residuals)

  both_agree(f, *(jnp.asarray(v, dtype) for v in (x, w, dy)))


@pytest.mark.parametrize("is_ragged", [False, True])
def test_microbatches_add_up_in_place(is_ragged):
  k, n = 512, 384
  shape = (len(SIZES), k, n) if is_ragged else (k, n)
  w = normal(shape, 1).astype(jnp.bfloat16)
  dy = normal((SIZES.sum(), n), 2).astype(jnp.bfloat16)

  def loss(x, main):
    if is_ragged:
      sizes = jnp.asarray(SIZES)
      y = jd.fp8_ragged_dot(x, jnp.asarray(w), sizes, main_grad=main)
    else:
      y = jd.fp8_dot_general(x, jnp.asarray(w), FLAX, main_grad=main)
    return (y * dy).sum()

  gradient = jax.grad(loss, 1)
  step = jax.jit(lambda main, x: gradient(x, main), donate_argnums=0)
  start = normal(shape, 3)
  main, expected = jnp.asarray(start), start
  pointer = None
  for seed in range(2):
    x = normal((SIZES.sum(), k), 4 + seed).astype(jnp.bfloat16)
    with jd.options(implementation="reference"), on_the_cpu():
      expected = jax.jit(gradient)(x, expected)
    main = step(jnp.copy(main) if pointer is None else main, x)
    pointer = pointer or main.unsafe_buffer_pointer()
    assert main.unsafe_buffer_pointer() == pointer
  rows = np.asarray(expected).astype(np.float64).reshape(-1, n)
  assert row_error(np.asarray(main).reshape(-1, n), rows) < BOUND


def test_a_policy_keeps_bits_and_changes_no_gradient():
  x, w = normal((256, 512), 0), normal((512, 384), 1)
  x, w = (jnp.asarray(v, jnp.bfloat16) for v in (x, w))

  def f(x, w):
    return (jd.fp8_dot_general(x, w, FLAX).astype(jnp.float32) ** 2).sum()

  names = ("fp8_activation", "fp8_weight")
  policy = jax.checkpoint_policies.save_only_these_names(*names)
  expected = jax.jit(jax.grad(f, (0, 1)))(x, w)
  found = jax.jit(jax.grad(jax.checkpoint(f, policy=policy), (0, 1)))(x, w)
  for v, u in zip(found, expected, strict=True):
    np.testing.assert_array_equal(
      np.asarray(v).astype(np.float32), np.asarray(u).astype(np.float32)
    )
