"""Dense layers of Flax with products in FP8."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import kernel_programs
from jax_deepgemm.integrations import dot_hook
from tests.integrations.distance import distance

linen = pytest.importorskip("flax.linen")
nnx = pytest.importorskip("flax.nnx")
optax = pytest.importorskip("optax")

from jax_deepgemm.integrations import flax as hooks  # noqa: E402

FP8 = hooks.dot_general
WIDTH, HIDDEN, ROWS = 128, 256, 16


class LinenModel(linen.Module):
  dot_general: object = jax.lax.dot_general

  @linen.compact
  def __call__(self, x):
    x = linen.Dense(HIDDEN, dot_general=self.dot_general)(x)
    made = functools.partial(getattr, self, "dot_general")
    return linen.DenseGeneral((2, 64), dot_general_cls=made)(linen.gelu(x))


class NnxModel(nnx.Module):
  def __init__(self, dot_general, rngs):
    self.first = nnx.Linear(WIDTH, HIDDEN, dot_general=dot_general, rngs=rngs)
    self.second = nnx.LinearGeneral(
      HIDDEN, (2, 64), dot_general=dot_general, rngs=rngs
    )

  def __call__(self, x):
    return self.second(nnx.gelu(self.first(x)))


@functools.cache
def linen_params():
  init = jax.jit(LinenModel().init)
  return init(jax.random.key(0), jnp.zeros((1, WIDTH)))


def linen_model(dot_general):
  """Returns parameters and a function of parameters and x."""
  model = LinenModel(dot_general)
  params = linen_params()
  return params, model.apply


def nnx_model(dot_general):
  graph, params = nnx.split(NnxModel(dot_general, nnx.Rngs(0)), nnx.Param)
  return params, lambda params, x: nnx.merge(graph, params)(x)


MODELS = {"linen": linen_model, "nnx": nnx_model}


@functools.cache
def data():
  x_key, y_key = jax.random.split(jax.random.key(1))
  x = jax.random.normal(x_key, (ROWS, WIDTH))
  return x, jax.random.normal(y_key, (ROWS, 2, 64))


def training_step(apply):
  """Returns (params, x, y) -> (new params, loss, gradients)."""
  optimizer = optax.sgd(0.1)

  def loss(params, x, y):
    return jnp.mean((apply(params, x) - y) ** 2)

  def step(params, x, y):
    value, grads = jax.value_and_grad(loss)(params, x, y)
    updates, _ = optimizer.update(grads, optimizer.init(params))
    return optax.apply_updates(params, updates), value, grads

  return jax.jit(step)


@pytest.mark.parametrize("kind", MODELS)
def test_a_training_step_is_near_that_without_fp8(kind):
  results = []
  for dot_general in (FP8, jax.lax.dot_general):
    params, apply = MODELS[kind](dot_general)
    step = training_step(apply)
    params, first, grads = step(params, *data())
    _, second, _ = step(params, *data())
    assert second < first
    results.append((grads, np.asarray([first, second])))
  for found, expected in zip(*map(jax.tree.leaves, results), strict=True):
    assert found.shape == expected.shape
    # Two roundings to 3 bits, less by the sum: some percent; never exact.
    assert 1e-7 < distance(found, expected) < 0.1


@pytest.mark.parametrize("kind", MODELS)
def test_kernels_multiply_on_a_hopper_gpu(kind):
  params, apply = MODELS[kind](FP8)
  lowered = kernel_programs.lowered_for(
    jax.jit(apply), params, data()[0], device="NVIDIA H200"
  )
  # Both layers cast x and w, and multiply.
  assert lowered.as_text().count("sm90_fp8_gemm") >= 2
  assert "dot_general" not in lowered.as_text()


def test_a_batch_over_four_devices_gives_the_same_step():
  params, apply = linen_model(FP8)
  step = training_step(apply)
  mesh = jax.make_mesh(
    (4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,)
  )
  rows = jax.NamedSharding(mesh, jax.P("data"))
  whole = jax.NamedSharding(mesh, jax.P())
  placed = jax.device_put((params, *data()), (whole, rows, rows))
  found, expected = step(*placed), step(params, *data())
  assert len(jax.tree.leaves(found)[0].sharding.device_set) == 4
  for x, y in zip(*map(jax.tree.leaves, (found, expected)), strict=True):
    # Shards of 4 rows cast their own columns for the gradient of w.
    assert distance(x, y) < 0.05


def array(*shape, dtype=jnp.float32):
  return jnp.ones(shape, dtype)


MATRIX = (((1,), (0,)), ((), ()))
LARGE = (array(4, 128), array(128, 128))


@pytest.mark.parametrize(
  ("operands", "kwargs", "in_fp8"),
  [
    (LARGE, {}, True),
    (LARGE, {"precision": "default"}, True),
    (LARGE, {"preferred_element_type": jnp.bfloat16}, True),
    (LARGE, {"precision": "highest"}, False),
    (LARGE, {"precision": ("default", "high")}, False),
    (LARGE, {"preferred_element_type": jnp.int32}, False),
    ([x.astype(jnp.int8) for x in LARGE], {}, False),
    ([x.astype(jnp.complex64) for x in LARGE], {}, False),
    ((array(4, 127), array(127, 128)), {}, False),
    ((array(4, 128), array(128, 127)), {}, False),
    ((array(4, 0), array(0, 128)), {}, False),
  ],
)
def test_what_is_computed_in_fp8(operands, kwargs, in_fp8, monkeypatch):
  calls = []

  def recorded(*args, **kwargs):
    calls.append((args, kwargs))

  monkeypatch.setattr(dot_hook, "fp8_dot_general", recorded)
  jax.eval_shape(lambda a, b: FP8(a, b, MATRIX, **kwargs), *operands)
  assert len(calls) == in_fp8


def test_what_is_not_in_fp8_is_that_of_lax():
  operands = [x.astype(jnp.int8) for x in LARGE]
  found = FP8(*operands, MATRIX, preferred_element_type=jnp.int32)
  assert found.dtype == jnp.int32
  np.testing.assert_array_equal(found, np.full((4, 128), 128))


def test_a_smaller_minimum_takes_small_products():
  small = hooks.DotGeneral(min_size=0)
  x = jnp.full((4, 64), 1 / 3)
  y = small(x, x.T, MATRIX)
  # 1 / 3 times its own scale is 448, of e4m3: nothing is rounded but scales.
  assert distance(y, np.full((4, 4), 64 / 9)) < 1e-5
  assert small != FP8
  assert hash(small) == hash(hooks.DotGeneral(min_size=0))


def test_residuals_are_those_of_the_product():
  with pytest.raises(ValueError, match="residuals must be one of"):
    hooks.DotGeneral(residuals="none")
