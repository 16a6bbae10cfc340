"""Layers of Flax on a GPU, against the same layers by the reference."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_deepgemm

linen = pytest.importorskip("flax.linen")

from jax_deepgemm.integrations.flax import (  # noqa: E402
  LinenRoutedExperts,
  dot_general,
)

pytestmark = pytest.mark.gpu


class Model(linen.Module):
  @linen.compact
  def __call__(self, x):
    dense = {"dtype": jnp.bfloat16, "dot_general": dot_general}
    y = linen.Dense(384, **dense)(x)
    y = y + LinenRoutedExperts(num_experts=8, top_k=2, hidden_features=256)(y)
    return linen.DenseGeneral((3, 128), **dense)(y)


def test_a_training_step_is_that_of_the_reference():
  x = jax.random.normal(jax.random.key(0), (4, 100, 384), jnp.bfloat16)
  dy = jax.random.normal(jax.random.key(1), (4, 100, 3, 128))
  model = Model()
  params = model.init(jax.random.key(2), x)

  def loss(params):
    y = model.apply(params, x).astype(jnp.float32)
    return (y * dy).sum(), y

  step = jax.jit(jax.value_and_grad(loss, has_aux=True))
  (value, y), grads = step(params)
  again = step(params)
  with jax_deepgemm.options(implementation="reference"):
    (_, expected_y), expected = step(params)
  for found, wanted in zip(
    *map(jax.tree.leaves, ((y, grads), (expected_y, expected))), strict=True
  ):
    found, wanted = np.asarray(found), np.asarray(wanted)
    # A sum in another order moves codes of the next layer by a step.
    assert np.linalg.norm(found - wanted) <= 0.03 * np.linalg.norm(wanted)
  for one, two in zip(
    *map(jax.tree.leaves, (((value, y), grads), again)), strict=True
  ):
    np.testing.assert_array_equal(one, two)
