"""What is sent: collectives of the programs that are lowered for a GPU."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.expert_parallel import moe_layer, moe_oracle
from tests.expert_parallel.moe_layer import IDS, arrays, assert_close
from tests.primitives.cuda_lowering import launches, lowered_for_cuda


def operands():
  x, w, weights, dy = arrays()
  ids = jnp.asarray(IDS["some dropped"], jnp.int32)
  return x.astype(jnp.bfloat16), ids, w, weights, dy


def collectives(text):
  """Returns the number of all-gathers and of ragged all-to-alls."""
  names = ("stablehlo.all_gather", "@ragged_all_to_all", "all_reduce")
  gathers, moves, sums = (text.count(name) for name in names)
  assert not sums
  for other in ("all_to_all", "collective_permute", "reduce_scatter"):
    assert f"stablehlo.{other}" not in text
  return gathers, moves


@pytest.mark.parametrize(
  ("wire_dtype", "check_vma"),
  [(jnp.float8_e4m3fn, True), (jnp.bfloat16, False)],
)
def test_counts_are_gathered_once_and_rows_move_once_each_way(
  wire_dtype, check_vma
):
  *args, dy = operands()
  f = moe_layer.layer(
    moe_layer.mesh(4), check_vma=check_vma, wire_dtype=wire_dtype
  )
  text = lowered_for_cuda(f, *args)
  assert collectives(text) == (1, 2)
  is_fp8 = wire_dtype == jnp.float8_e4m3fn
  assert len(launches(text)) == is_fp8  # The cast.
  text = lowered_for_cuda(moe_layer.with_gradients(f), *args, dy)
  assert collectives(text) == (1, 4)
  assert len(launches(text)) == is_fp8


def test_an_axis_of_one_rank_sends_nothing():
  *args, dy = operands()
  f = moe_layer.with_gradients(moe_layer.layer(moe_layer.mesh(1)))
  text = lowered_for_cuda(f, *args, dy)
  assert collectives(text) == (0, 0)


SAVING = jax.checkpoint_policies.save_only_these_names(
  "ep_dispatched", "ep_combined"
)


def test_a_policy_saves_what_arrived_instead_of_sending_it_again():
  *args, dy = operands()
  f = moe_layer.layer(moe_layer.mesh(4), wire_dtype=jnp.float8_e4m3fn)
  remade = moe_layer.with_gradients(jax.checkpoint(f, policy=SAVING))
  # Without one name or the other, 5 moves; without both, 6.
  assert collectives(lowered_for_cuda(remade, *args, dy)) == (2, 4)


def test_a_scan_of_checkpointed_layers_has_the_gradients_of_each():
  x, w, weights, dy = arrays()
  layer = moe_layer.layer(moe_layer.mesh(4), check_vma=False)
  names = ("random", "some dropped")

  @functools.partial(jax.checkpoint, policy=SAVING)
  def step(w, ids):
    y, *_ = layer(x, ids, w, weights)
    return (y * dy).sum()

  def loss(ws):
    ids = jnp.stack([jnp.asarray(IDS[name], jnp.int32) for name in names])
    total, _ = jax.lax.scan(
      lambda total, w_and_ids: (total + step(*w_and_ids), None),
      jnp.float32(0),
      (ws, ids),
    )
    return total

  found = jax.jit(jax.grad(loss))(jnp.stack([w, w]))
  exact = [np.asarray(a, np.float64) for a in (x, w, weights, dy)]
  for name, dw in zip(names, found, strict=True):
    _, expected, _ = moe_oracle.gradients(moe_layer.routing(name), *exact)
    assert_close(dw, expected, 1e-5)
