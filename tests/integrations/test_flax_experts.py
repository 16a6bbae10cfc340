"""Layers of routed experts for Flax, over one device and over four."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from benchmarks import kernel_programs
from tests.integrations.distance import distance

linen = pytest.importorskip("flax.linen")
nnx = pytest.importorskip("flax.nnx")

from jax_deepgemm.integrations import flax as hooks  # noqa: E402

EXPERTS, TOP_K, WIDTH, HIDDEN = 8, 2, 128, 128
BATCH, LENGTH = 4, 6
NAMES = ["router", "w_down", "w_gate", "w_up"]
SIZES = {
  "num_experts": EXPERTS,
  "top_k": TOP_K,
  "hidden_features": HIDDEN,
}


def linen_layer(**fields):
  """Returns what makes parameters by name, and a function of them and x."""
  layer = hooks.LinenRoutedExperts(**SIZES, **fields)

  def init():
    return jax.jit(layer.init)(jax.random.key(0), data()[1])["params"]

  return init, lambda params, x: layer.apply({"params": params}, x)


def nnx_layer(**fields):
  layer = hooks.NnxRoutedExperts(WIDTH, **SIZES, **fields, rngs=nnx.Rngs(0))
  graph, state = nnx.split(layer)

  def apply(params, x):
    state = nnx.State({name: nnx.Param(w) for name, w in params.items()})
    return nnx.merge(graph, state)(x)

  return lambda: nnx.to_pure_dict(state), apply


LAYERS = {"linen": linen_layer, "nnx": nnx_layer}


@functools.cache
def data():
  random = np.random.default_rng(0)

  def normal(*shape):
    return jnp.asarray(random.standard_normal(shape), jnp.float32)

  params = {
    "router": normal(WIDTH, EXPERTS) / 8,
    "w_gate": normal(EXPERTS, WIDTH, HIDDEN) / 11,
    "w_up": normal(EXPERTS, WIDTH, HIDDEN) / 11,
    "w_down": normal(EXPERTS, HIDDEN, WIDTH) / 11,
  }
  shape = (BATCH, LENGTH, WIDTH)
  return params, normal(*shape), normal(*shape)


def oracle(params, x, normalize=True):
  """Returns the layer in float64, expert by expert."""
  w = {name: np.asarray(p, np.float64) for name, p in params.items()}
  rows = np.asarray(x, np.float64).reshape(-1, WIDTH)
  scores = np.exp(rows @ w["router"])
  scores /= scores.sum(axis=1, keepdims=True)
  y = np.zeros_like(rows)
  for row, score, result in zip(rows, scores, y, strict=True):
    chosen = np.argsort(-score)[:TOP_K]
    total = score[chosen].sum() if normalize else 1.0
    for e in chosen:
      gate = row @ w["w_gate"][e]
      hidden = gate / (1 + np.exp(-gate)) * (row @ w["w_up"][e])
      result += score[e] / total * (hidden @ w["w_down"][e])
  return y.reshape(x.shape)


def reference(params, x):
  """Returns the layer by a product of every token with every expert."""
  logits = jnp.matmul(x, params["router"], precision="highest")
  best, ids = jax.lax.top_k(jax.nn.softmax(logits), TOP_K)
  best = best / best.sum(-1, keepdims=True)
  share = (jax.nn.one_hot(ids, EXPERTS) * best[..., None]).sum(-2)
  gate = jnp.einsum("...d,edf->...ef", x, params["w_gate"])
  hidden = jax.nn.silu(gate) * jnp.einsum("...d,edf->...ef", x, params["w_up"])
  return jnp.einsum("...ef,efd,...e->...d", hidden, params["w_down"], share)


def with_gradients(apply):
  def loss(params, x, dy):
    y = apply(params, x)
    return (y * dy).sum(), y

  return jax.jit(jax.value_and_grad(loss, (0, 1), has_aux=True))


@functools.cache
def on_one_device(kind):
  """Returns the layer's result and gradients as a function of data()."""
  return with_gradients(LAYERS[kind]()[1])


def assert_near(found, expected, bound):
  (_, y), grads = found
  (_, expected_y), expected_grads = expected
  assert distance(y, expected_y) < bound
  for x, wanted in zip(
    *map(jax.tree.leaves, (grads, expected_grads)), strict=True
  ):
    assert distance(x, wanted) < bound


@pytest.mark.parametrize("kind", LAYERS)
def test_parameters_have_the_same_layout(kind):
  params = LAYERS[kind]()[0]()
  assert sorted(params) == NAMES
  shapes = {name: w.shape for name, w in params.items()}
  assert shapes == {name: w.shape for name, w in data()[0].items()}
  # Each expert has variance 1 / fan in of its own.
  assert np.std(params["w_down"][3]) == pytest.approx(HIDDEN**-0.5, rel=0.05)


@pytest.mark.parametrize("kind", LAYERS)
def test_result_and_gradients_are_near_those_without_fp8(kind):
  params, x, dy = data()
  run = on_one_device(kind)
  found = run(params, x, dy)
  assert_near(found, with_gradients(reference)(params, x, dy), 0.1)
  # One expert is 3 products of relative error 0.04.
  assert 1e-4 < distance(found[0][1], oracle(params, x)) < 0.08
  again = run(params, x, dy)
  for one, two in zip(*map(jax.tree.leaves, (found, again)), strict=True):
    np.testing.assert_array_equal(one, two)


def test_in_bfloat16_and_without_normalised_weights():
  params, x, _ = data()
  _, apply = linen_layer(
    compute_dtype=jnp.bfloat16, normalize_weights=False, dtype=jnp.bfloat16
  )
  y = jax.jit(apply)(params, x)
  assert y.dtype == jnp.bfloat16
  assert distance(y, oracle(params, x, normalize=False)) < 0.02


def test_sigmoids_that_are_all_zero_give_a_finite_result():
  params, x, _ = data()
  _, apply = linen_layer(scores=lambda logits: jnp.zeros_like(logits))
  assert not np.any(np.asarray(jax.jit(apply)(params, x)))


@pytest.mark.parametrize(
  ("kind", "check_vma"), [("linen", False), ("nnx", True)]
)
def test_experts_over_four_devices(kind, check_vma):
  params, x, dy = data()
  mesh = jax.make_mesh(
    (4,), ("expert",), axis_types=(jax.sharding.AxisType.Auto,)
  )
  _, apply = LAYERS[kind](axis_name="expert", wire_dtype=jnp.float32)
  split = P("expert")
  specs = dict.fromkeys(NAMES, split) | {"router": P()}
  over_ranks = jax.shard_map(
    apply,
    mesh=mesh,
    in_specs=(specs, split),
    out_specs=split,
    check_vma=check_vma,
  )
  found = with_gradients(over_ranks)(params, x, dy)
  # Rows of an expert come in the same order: the same sums.
  assert_near(found, on_one_device(kind)(params, x, dy), 1e-5)


@pytest.mark.parametrize(("axis_name", "exchanges"), [(None, 0), ("expert", 2)])
def test_a_hopper_gpu_runs_kernels_and_collectives(axis_name, exchanges):
  params, x, _ = data()
  _, apply = linen_layer(axis_name=axis_name)
  if axis_name:
    mesh = jax.make_mesh(
      (4,), (axis_name,), axis_types=(jax.sharding.AxisType.Auto,)
    )
    specs = {name: P(axis_name) for name in NAMES} | {"router": P()}
    apply = jax.shard_map(
      apply,
      mesh=mesh,
      in_specs=(specs, P(axis_name)),
      out_specs=P(axis_name),
    )
  text = kernel_programs.lowered_for(
    jax.jit(apply), params, x, device="NVIDIA H200"
  ).as_text()
  # Gate with up, and down.
  assert text.count("sm90_m_grouped_fp8_gemm_entry.cuh") == 2
  assert text.count("@ragged_all_to_all") == exchanges


def test_messages():
  with pytest.raises(ValueError, match="top_k must be from 1 to num_experts"):
    nnx_layer_of(top_k=9)
  params, x, _ = data()
  _, apply = linen_layer(axis_name="expert")
  with pytest.raises(ValueError, match="'expert' is no axis"):
    apply(params, x)
  _, apply = nnx_layer()
  wrong = params | {"w_up": params["w_up"][:4]}
  with pytest.raises(ValueError, match="w_up must have shape"):
    apply(wrong, x)


def nnx_layer_of(**sizes):
  return hooks.NnxRoutedExperts(WIDTH, **(SIZES | sizes), rngs=nnx.Rngs(0))
