"""What products keep for their backward pass, and what they launch."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_deepgemm as dg
from tests.dot.dot_oracle import normal
from tests.primitives.cuda_lowering import launches, lowered_for_cuda

FLAX = (((1,), (0,)), ((), ()))
X = jnp.asarray(normal((64, 144), 0), jnp.bfloat16)
W = jnp.asarray(normal((144, 208), 1), jnp.bfloat16)
SIZES = np.array([20, 0, 44], np.int32)
policies = jax.checkpoint_policies


def weighted_sum(y):
  """Returns a loss whose backward pass does not need y."""
  return (y * jnp.arange(y.shape[1], dtype=y.dtype)).sum()


def dense(x, w, **settings):
  return weighted_sum(dg.fp8_dot_general(x, w, FLAX, **settings))


def ragged(x, w, **settings):
  w = jnp.broadcast_to(w, (3, *w.shape))
  return weighted_sum(dg.fp8_ragged_dot(x, w, SIZES, **settings))


def kernels(f, *argnums, **settings):
  """Returns how many casts and products a gradient launches on Hopper."""
  g = jax.value_and_grad(functools.partial(f, **settings), argnums)
  with dg.options(device="NVIDIA H200"):
    lines = launches(lowered_for_cuda(g, X, W))
  casts = sum('kernel = "sm90_cast_' in line for line in lines)
  return casts, len(lines) - casts


def casts_of(f):
  """Returns the kinds of casts that a gradient makes."""
  text = str(jax.make_jaxpr(jax.grad(f, (0, 1)))(X, W))
  return sorted(part.split("'")[1] for part in text.split("kind=")[1:])


@pytest.mark.parametrize(
  ("f", "residuals", "expected"),
  [
    # x and dy for both of their products, and w.
    (dense, "fp8", (3, 3)),
    # x and w once more.
    (dense, "bf16", (5, 3)),
    # Columns by group are casts of their own.
    (ragged, "fp8", (5, 3)),
    (ragged, "bf16", (6, 3)),
  ],
)
def test_a_gradient_launches_what_it_must(f, residuals, expected):
  assert kernels(f, 0, 1, residuals=residuals) == expected


def test_only_the_wanted_gradient_is_computed():
  assert kernels(dense, 0) == (3, 2)
  assert kernels(dense, 1) == (3, 2)
  assert kernels(ragged, 0) == (3, 2)
  assert kernels(ragged, 1) == (4, 2)


def saved_of(f):
  """Returns dtypes and shapes of the matrices that are kept."""
  vjp = jax.eval_shape(lambda x, w: jax.vjp(f, x, w)[1], X, W)
  kept = [v for v in jax.tree.leaves(vjp) if len(v.shape) == 2]
  return sorted((v.dtype.name, v.shape) for v in kept)


def test_eight_bits_are_kept_of_each_element():
  kept = saved_of(lambda x, w: dg.fp8_dot_general(x, w, FLAX))
  assert kept == [
    ("float32", (2, 2)),
    ("float32", (144, 1)),
    ("uint8", X.shape[::-1]),
    ("uint8", W.shape),
  ]
  plain = saved_of(
    lambda x, w: dg.fp8_dot_general(x, w, FLAX, residuals="bf16")
  )
  assert plain == [("bfloat16", X.shape), ("bfloat16", W.shape)]


@pytest.mark.parametrize(
  ("policy", "again"),
  [
    (policies.save_only_these_names("fp8_activation", "fp8_weight"), []),
    (policies.save_only_these_names("fp8_activation"), ["blocks_both"]),
    (policies.save_only_these_names("fp8_weight"), ["both"]),
    (None, ["both", "blocks_both"]),
  ],
  ids=["both", "activations", "weights", "none"],
)
def test_a_policy_chooses_by_name(policy, again):
  f = jax.checkpoint(dense, policy=policy)
  forward, backward = ["both", "blocks_both"], ["both"]
  assert casts_of(f) == sorted(forward + again + backward)


def test_what_a_policy_keeps_changes_no_gradient():
  expected = jax.jit(jax.grad(dense, (0, 1)))(X, W)
  for names in (("fp8_activation", "fp8_weight"), ()):
    f = jax.checkpoint(dense, policy=policies.save_only_these_names(*names))
    found = jax.jit(jax.grad(f, (0, 1)))(X, W)
    for v, u in zip(found, expected, strict=True):
      np.testing.assert_array_equal(
        np.asarray(v, np.float32), np.asarray(u, np.float32)
      )
