"""A model whose products qwix's rules bring to FP8."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import kernel_programs
from tests.integrations.distance import distance

linen = pytest.importorskip("flax.linen")
nnx = pytest.importorskip("flax.nnx")
qwix = pytest.importorskip("qwix")

from jax_deepgemm.integrations.qwix import Fp8Provider  # noqa: E402

F8 = jnp.float8_e4m3fn
FP8 = {"weight_qtype": F8, "act_qtype": F8}
SIZES = np.asarray([5, 0, 9], np.int32)


class Model(linen.Module):
  @linen.compact
  def __call__(self, x):
    x = linen.gelu(linen.Dense(128, name="first")(x))
    x = linen.Dense(128, name="last")(x)
    w = self.param("w", linen.initializers.lecun_normal(), (3, 128, 128))
    return jax.lax.ragged_dot(x, w, jnp.asarray(SIZES))


class NnxModel(nnx.Module):
  def __init__(self, rngs):
    self.layer = nnx.Linear(128, 128, rngs=rngs)

  def __call__(self, x):
    return self.layer(x)


def kernels(apply, *args):
  """Returns how many GEMMs of this package a Hopper GPU would run."""
  lowered = kernel_programs.lowered_for(
    jax.jit(apply), *args, device="NVIDIA H200"
  )
  return lowered.as_text().count("gemm_entry.cuh")


def test_rules_choose_the_products():
  x = jax.random.normal(jax.random.key(0), (14, 128))
  model = Model()
  params = model.init(jax.random.key(1), x)
  rules = [
    qwix.QuantizationRule(module_path="last"),
    qwix.QtRule(
      module_path="first",
      op_names=("dot_general",),
      bwd_qtype=F8,
      bwd_weight_grad_tile_size=1 / 4,  # As MaxText's rules have it.
      **FP8,
    ),
    qwix.QuantizationRule(op_names=("ragged_dot",), **FP8),
  ]
  wrapped = qwix.quantize_model(model, Fp8Provider(rules))
  assert kernels(wrapped.apply, params, x) == 2
  assert kernels(model.apply, params, x) == 0

  def loss(model):
    return jax.jit(jax.value_and_grad(lambda p: jnp.var(model.apply(p, x))))

  found, expected = loss(wrapped)(params), loss(model)(params)
  for a, b in zip(*map(jax.tree.leaves, (found, expected)), strict=True):
    assert 0 < distance(a, b) < 0.1


@pytest.mark.filterwarnings("ignore:The .*iter_modules:DeprecationWarning")
def test_nnx_models():
  x = jax.random.normal(jax.random.key(0), (14, 128))
  model = NnxModel(nnx.Rngs(0))
  rule = qwix.QuantizationRule(**FP8)
  wrapped = qwix.quantize_model(model, Fp8Provider([rule]), x)
  graph, state = nnx.split(wrapped)
  assert kernels(lambda s, x: nnx.merge(graph, s)(x), state, x) == 1
  assert 1e-3 < distance(wrapped(x), model(x)) < 0.06


@pytest.mark.parametrize(
  ("fields", "message"),
  [
    ({"act_qtype": None}, "act_qtype float8_e4m3fn, got None"),
    ({"weight_qtype": jnp.int8}, "weight_qtype float8_e4m3fn"),
    ({"weight_qtype": "nf4"}, "weight_qtype float8_e4m3fn, got 'nf4'"),
    ({"bwd_qtype": jnp.float8_e5m2}, "bwd_qtype float8_e4m3fn"),
    ({"tile_size": 64}, "tile_size 128, got 64"),
    ({"weight_calibration_method": "minmax"}, "weight_calibration_method"),
  ],
)
def test_rules_of_another_recipe_are_refused(fields, message):
  rule = qwix.QtRule(**(FP8 | {"bwd_qtype": F8} | fields))
  with pytest.raises(ValueError, match=message):
    Fp8Provider([rule])
