"""The layer inside larger programs: meshes, scans, checkpoints, two buffers."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec as P

import jax_deepgemm as dg
from tests.mega_moe.layers import (
  EXPERTS,
  HIDDEN,
  INTERMEDIATE,
  TOKENS,
  TOP_K,
  arrays,
  assert_near,
  assert_same_bits,
  buffer,
  layer_of,
  mesh,
  operands,
  over_ranks,
  with_gradients,
)


def test_the_experts_axis_may_be_one_of_several():
  """Lines along it are groups; gradients of experts are sums over groups."""
  two_by_two = mesh(2, 2, names="de")
  symmetric = dg.get_symm_buffer_for_mega_moe(
    *(two_by_two, "e", EXPERTS, TOKENS // 4, TOP_K, HIDDEN, INTERMEDIATE)
  )

  def shard(x, idx, weights, l1, l2):
    return dg.fp8_mega_moe(x, idx, weights, l1, l2, symmetric)

  tokens, experts = P(("d", "e")), P("e")
  split = jax.shard_map(
    shard,
    mesh=two_by_two,
    in_specs=(tokens, tokens, tokens, experts, experts),
    out_specs=tokens,
  )
  layer, dy = operands()
  y, gradients = with_gradients(split)(*arrays(layer), jnp.asarray(dy))
  half = TOKENS // 2
  alone = with_gradients(layer_of(1, tokens=half))
  halves = [
    alone(
      *(jnp.asarray(a[part]) for a in layer[:3]),
      *map(jnp.asarray, layer[3:]),
      jnp.asarray(dy[part]),
    )
    for part in (slice(half), slice(half, None))
  ]
  assert_same_bits(y, jnp.concatenate([y for y, _ in halves]))
  for i in (0, 1):  # Of tokens and their weights.
    expected = jnp.concatenate([found[i] for _, found in halves])
    assert_same_bits(gradients[i], expected)
  for i in (2, 3):  # Of experts.
    parts = [np.asarray(found[i], float) for _, found in halves]
    assert_near(gradients[i], parts[0] + parts[1], 1e-2)


def test_layers_are_scanned_with_checkpoints():
  """As if written out, with a buffer for each layer."""
  layer, dy = operands()
  depth, first, second = 2, buffer(2), buffer(2)
  assert first != second

  def stacked(w):
    layers = [w * np.asarray(1 + i, w.dtype) for i in range(depth)]
    return jnp.stack(list(map(jnp.asarray, layers)))

  def model(is_scanned, wrap, x, idx, weights, l1, l2):
    def block(x, of_layer, symmetric=first):
      y = dg.fp8_mega_moe(x, idx, weights, *of_layer, symmetric)
      return x + y * jnp.bfloat16(0.1), None

    if is_scanned:
      return jax.lax.scan(wrap(block), x, (l1, l2))[0]
    for i, symmetric in enumerate((first, second)):
      x, _ = block(x, (l1[i], l2[i]), symmetric)
    return x

  def run(is_scanned, wrap):
    tokens, experts = P("e"), P(None, "e")
    split = over_ranks(
      lambda *args: model(is_scanned, wrap, *args),
      2,
      in_specs=(tokens, tokens, tokens, experts, experts),
    )
    return with_gradients(split)(
      *arrays(layer[:3]), *map(stacked, layer[3:]), jnp.asarray(dy)
    )

  y, gradients = run(False, None)
  policy = jax.checkpoint_policies.save_only_these_names("moe_hidden")
  found_y, found = run(True, functools.partial(jax.checkpoint, policy=policy))
  assert_same_bits(found_y, y)
  for a, b in zip(found, gradients, strict=True):
    assert_near(a, b, 1e-3)


def test_a_checkpoint_that_keeps_hidden_values_multiplies_once_less():
  layer = arrays(operands()[0])

  def products(*names):
    policy = jax.checkpoint_policies.save_only_these_names(*names)
    f = jax.checkpoint(layer_of(2), policy=policy)

    def loss(x, idx, weights, l1, l2):
      return f(x, idx, weights, l1, l2).astype(jnp.float32).sum()

    with dg.options(implementation="reference"):
      text = str(jax.make_jaxpr(jax.grad(loss, (0, 2, 3, 4)))(*layer))
    return text.count("m_grouped_fp8_gemm[")

  # Forward two products, backward two, and what is made again.
  assert products("moe_hidden") == 4
  assert products() == 5
