"""The layer against float64, whatever the routing."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from tests.expert_parallel import moe_layer, moe_oracle
from tests.expert_parallel.moe_layer import IDS, ROWS, arrays, assert_close


@functools.cache
def jitted(max_rows=None):
  f = moe_layer.layer(moe_layer.mesh(4), max_rows=max_rows)
  return moe_layer.with_gradients(f)


def check(ids, max_rows=None):
  x, w, weights, dy = arrays()
  routing = moe_layer.routing(ids, ROWS if max_rows is None else max_rows)
  # What has no row may have any weight.
  kept = {(token, choice) for _, token, choice in routing.all_kept()}
  used = np.full(weights.shape, np.nan, np.float32)
  for token, choice in kept:
    used[token, choice] = weights[token, choice]
  results, grads = jitted(max_rows)(
    x, jnp.asarray(IDS[ids], jnp.int32), w, jnp.asarray(used), dy
  )
  exact = [np.asarray(a, np.float64) for a in (x, w, weights, dy)]
  y, sizes, dropped = results
  assert_close(y, moe_oracle.layer(routing, *exact[:3]), 1e-5)
  ranks = range(routing.ranks)
  np.testing.assert_array_equal(
    sizes, np.concatenate([routing.group_sizes(rank) for rank in ranks])
  )
  np.testing.assert_array_equal(
    dropped, [routing.num_dropped(rank) for rank in ranks]
  )
  for found, expected in zip(
    grads, moe_oracle.gradients(routing, *exact), strict=True
  ):
    assert_close(found, expected, 1e-5)


@pytest.mark.parametrize("ids", IDS)
def test_values_and_gradients_are_those_of_one_device(ids):
  check(ids)


@pytest.mark.parametrize("ids", IDS)
def test_rows_that_find_no_room_are_dropped_last_ones_first(ids):
  # 18 rows a rank on average, and 72 if all go to one.
  check(ids, max_rows=13)


FOUR_DEVICES = {
  "permuted devices": (
    moe_layer.mesh(4, devices=np.asarray(jax.devices())[[2, 0, 3, 1]]),
    "a",
  ),
  "two axes, minor first": (moe_layer.mesh(2, 2), ["b", "a"]),
}


@pytest.mark.parametrize(
  ("mesh", "axis_name"), FOUR_DEVICES.values(), ids=FOUR_DEVICES
)
def test_the_order_of_the_axis_is_what_counts(mesh, axis_name):
  x, w, weights, _ = arrays()
  ids = IDS["some dropped"]
  spec = P(axis_name if isinstance(axis_name, str) else tuple(axis_name))
  f = moe_layer.layer(mesh, spec, spec, axis_name=axis_name)
  y, *_ = jax.jit(f)(x, jnp.asarray(ids, jnp.int32), w, weights)
  exact = [np.asarray(a, np.float64) for a in (x, w, weights)]
  routing = moe_layer.routing("some dropped")
  assert_close(y, moe_oracle.layer(routing, *exact), 1e-5)


@pytest.mark.parametrize(
  ("axis_name", "check_vma"), [("a", True), ("b", False)]
)
def test_groups_beside_the_axis_are_independent(axis_name, check_vma):
  other = "ab".replace(axis_name, "")
  # Groups one after the other, tokens of a group's ranks in order.
  rows = P((other, axis_name))
  x, w, weights, dy = arrays()
  ids = IDS["some dropped"]
  f = moe_layer.layer(
    moe_layer.mesh(2, 2),
    rows,
    P(axis_name),
    check_vma=check_vma,
    axis_name=axis_name,
  )
  (y, _, dropped), grads = moe_layer.with_gradients(f)(
    x, jnp.asarray(ids, jnp.int32), w, weights, dy
  )
  assert not np.any(dropped)
  exact = [np.asarray(a, np.float64) for a in (x, w, weights, dy)]
  dw = 0
  for group in np.split(np.arange(len(ids)), 2):
    routing = moe_oracle.Routing(ids[group], 2, moe_layer.EXPERTS, ROWS)
    ours = exact[0][group], exact[1], exact[2][group]
    assert_close(y[group], moe_oracle.layer(routing, *ours), 1e-5)
    expected = moe_oracle.gradients(routing, *ours, exact[3][group])
    assert_close(grads[0][group], expected[0], 1e-5)
    assert_close(grads[2][group], expected[2], 1e-5)
    dw = dw + expected[1]
  # The weights are the same in both groups: their gradients are added.
  assert_close(grads[1], dw, 1e-5)


def test_tokens_that_all_ranks_have_get_the_sum_of_their_gradients():
  x, w, weights, dy = (a[: moe_layer.TOKENS] for a in arrays())
  w = arrays()[1]
  ids = IDS["random"][: moe_layer.TOKENS]
  f = moe_layer.layer(moe_layer.mesh(4), rows=P(), results=P("a"))
  dys = jnp.concatenate([dy, 2 * dy, 4 * dy, 8 * dy])
  (y, *_), (dx, dw, dweights) = moe_layer.with_gradients(f)(
    x, jnp.asarray(ids, jnp.int32), w, weights, dys
  )
  exact = [np.asarray(a, np.float64) for a in (x, w, weights, dy)]
  routing = moe_oracle.Routing(ids, 4, moe_layer.EXPERTS, ROWS)
  expected = moe_oracle.layer(routing, *exact[:3])
  assert_close(y, np.concatenate([expected] * 4), 1e-5)
  for found, gradient in zip(
    (dx, dw, dweights), moe_oracle.gradients(routing, *exact), strict=True
  ):
    assert_close(found, 15 * gradient, 1e-5)


def test_an_axis_of_one_rank_moves_nothing():
  x, w, weights, dy = arrays()
  ids = IDS["some dropped"]
  routing = moe_oracle.Routing(ids, 1, moe_layer.EXPERTS, 40)
  f = moe_layer.layer(moe_layer.mesh(1), max_rows=40)
  (y, sizes, dropped), grads = moe_layer.with_gradients(f)(
    x, jnp.asarray(ids, jnp.int32), w, weights, dy
  )
  exact = [np.asarray(a, np.float64) for a in (x, w, weights, dy)]
  assert_close(y, moe_oracle.layer(routing, *exact[:3]), 1e-5)
  np.testing.assert_array_equal(sizes, routing.group_sizes(0))
  assert dropped == routing.num_dropped(0) > 0
  for found, expected in zip(
    grads, moe_oracle.gradients(routing, *exact), strict=True
  ):
    assert_close(found, expected, 1e-5)


@pytest.mark.parametrize(("tokens", "max_rows"), [(0, 5), (4, 0)])
def test_no_tokens_or_no_room_give_zeros(tokens, max_rows):
  x, w, weights, _ = arrays()
  ids = jnp.asarray(IDS["random"][:tokens], jnp.int32)
  f = moe_layer.layer(moe_layer.mesh(4), max_rows=max_rows)

  # Of x alone: XLA's CPU compiler does not survive all three without tokens.
  def loss(x):
    y, *rest = f(x, ids, w, weights[:tokens])
    return y.sum(), (y, *rest)

  dx, (y, sizes, dropped) = jax.jit(jax.grad(loss, has_aux=True))(x[:tokens])
  assert y.shape == (tokens, moe_layer.OUT)
  assert dx.shape == (tokens, moe_layer.WIDTH)
  assert int(dropped.sum()) == tokens * moe_layer.TOP_K
  for found in (y, sizes, dx):
    assert not np.any(found)
