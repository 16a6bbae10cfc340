"""Hooks for MaxText, called as its layers call them.

MaxText itself is not on PyPI: what stands in for it here has the signatures of
its classes, and calls with the arguments that its layers pass.
"""

import dataclasses
import sys
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_deepgemm.integrations import maxtext
from tests.integrations.distance import distance

linen = pytest.importorskip("flax.linen")
nnx = pytest.importorskip("flax.nnx")

F8 = jnp.float8_e4m3fn


@dataclasses.dataclass
class Quantization:
  """As the base class there: a dataclass, and so not hashable."""

  def dot_general_cls(self, mesh_axes=()):
    """Placeholder."""

  def einsum(self, dtype=jnp.float32):
    """Placeholder."""


@pytest.fixture
def quantization(monkeypatch):
  """Returns a function that makes quantisations of the stand-in's class."""
  for name in ("maxtext", "maxtext.layers", "maxtext.layers.quantizations"):
    monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
  sys.modules["maxtext.layers.quantizations"].Quantization = Quantization
  return maxtext.quantization


class LinenDense(linen.Module):
  quant: object

  @linen.compact
  def __call__(self, x):
    w = self.param("kernel", linen.initializers.lecun_normal(), (128, 2, 64))
    dot_general = self.quant.dot_general_cls(mesh_axes=("embed", "mlp"))()
    return dot_general(x, w, (((1,), (0,)), ((), ())), precision=None)


class NnxDense(nnx.Module):
  """Wraps the linen operation, as layers there do."""

  def __init__(self, quant, rngs):
    w = nnx.initializers.lecun_normal()(rngs.params(), (128, 128))
    self.kernel = nnx.Param(w)
    operation = quant.dot_general_cls(mesh_axes=("embed", "mlp"))()
    self.dot = nnx.bridge.ToNNX(operation, rngs=rngs)
    self.dot.lazy_init(jnp.zeros((1, 128)), w, _MATRIX, precision=None)

  def __call__(self, x):
    return self.dot(
      x, self.kernel[...], _MATRIX, precision=None, mutable=["aqt"]
    )


_MATRIX = (((1,), (0,)), ((), ()))


def test_dense_layers_of_linen(quantization):
  x = jax.random.normal(jax.random.key(0), (6, 128))
  layer = LinenDense(quantization())
  params = layer.init(jax.random.key(1), x)
  assert list(params) == ["params"]
  assert list(params["params"]) == ["kernel"]
  y, pull = jax.vjp(jax.jit(layer.apply), params, x)
  w = params["params"]["kernel"]
  assert 1e-3 < distance(y, jnp.einsum("td,dhf->thf", x, w)) < 0.06
  dparams, dx = pull(y)
  dw = dparams["params"]["kernel"]
  assert distance(dw, jnp.einsum("td,thf->dhf", x, y)) < 0.06
  assert distance(dx, jnp.einsum("thf,dhf->td", y, w)) < 0.06


def test_dense_layers_of_nnx(quantization):
  x = jax.random.normal(jax.random.key(0), (6, 128))
  layer = NnxDense(quantization(), nnx.Rngs(0))
  y = nnx.jit(lambda layer, x: layer(x))(layer, x)
  assert 1e-3 < distance(y, x @ layer.kernel[...]) < 0.06


def test_quantizations_are_comparable_subclasses(quantization):
  one, two, other = quantization(), quantization(), quantization("bf16")
  assert isinstance(one, Quantization)
  assert (one, hash(one)) == (two, hash(two))
  assert one != other
  assert one.quant_mode == "train"
  with pytest.raises(ValueError, match="residuals must be one of"):
    quantization("none")


def test_einsums_with_arguments_of_both_kinds(quantization):
  x = jax.random.normal(jax.random.key(0), (2, 3, 4, 128))
  w = jax.random.normal(jax.random.key(1), (2, 128, 160))
  quant = quantization()
  exact = jnp.einsum("EBCM,EMH->EBCH", x, w)
  for arguments in ({"dtype": jnp.bfloat16}, {"mesh_axes": ("exp", None)}):
    y = quant.einsum(**arguments)("EBCM,EMH -> EBCH", x, w)
    assert y.dtype == arguments.get("dtype", jnp.float32)
    assert 1e-3 < distance(y, exact) < 0.06
  # Batch and free dimensions in another order, contracted ones in two.
  w = jax.random.normal(jax.random.key(1), (4, 128, 160, 3))
  y = quant.einsum()("EBCM,CMHB->HEB", x, w)
  assert 1e-3 < distance(y, jnp.einsum("EBCM,CMHB->HEB", x, w)) < 0.06
  for expression in ("...M,MH->...H", "EBCM,CMHB->HB", "EECM,CMHB->EHB"):
    with pytest.raises(NotImplementedError, match=r"use jnp\.einsum"):
      quant.einsum()(expression, x, w)
  with pytest.raises(ValueError, match="does not fit operands"):
    quant.einsum()("EBM,MH->EBH", x, w)


def test_maxtext_is_asked_for_when_it_is_missing(monkeypatch):
  monkeypatch.setitem(sys.modules, "maxtext", None)
  with pytest.raises(ImportError, match="maxtext is not installed"):
    maxtext.quantization()


SIZES = [3, 0, 9, 2, 6]
ROWS, K, N = 24, 136, 40  # 4 rows are of no group.


def arrays():
  random = np.random.default_rng(0)
  lhs = random.standard_normal((ROWS, K)).astype(np.float32)
  lhs[sum(SIZES) :] = np.nan
  rhs = random.standard_normal((len(SIZES), K, N)).astype(np.float32)
  return jnp.asarray(lhs), jnp.asarray(rhs), jnp.asarray(SIZES, jnp.int32)


def grouped_product(lhs, rhs, sizes, first=0):
  """Returns the product in float64; rhs has the groups from `first` on."""
  y = np.zeros((lhs.shape[0], rhs.shape[2]))
  ends = np.cumsum(sizes)
  for g in range(len(rhs)):
    rows = slice(ends[first + g] - sizes[first + g], ends[first + g])
    y[rows] = np.float64(lhs[rows]) @ np.float64(rhs[g])
  return y


def call_of_maxtext(lhs, rhs, group_sizes, **arguments):
  """Calls with every keyword that MaxText's layer of experts passes."""
  arguments = {
    "preferred_element_type": jnp.float32,
    "tiling": (128,) * 9,
    "group_offset": 0,
    "lhs_quantize_dtype": None,
    "rhs_quantize_dtype": None,
    "use_qwix_quantization": False,
    "use_tokamax_backend": False,
    "weight_gather_axes": None,
    "lhs_vma_axes": (),
    "rhs_vma_axes": (),
    "use_gmm_v2": False,
    "interpret": True,
  } | arguments
  return maxtext.gmm(lhs=lhs, rhs=rhs, group_sizes=group_sizes, **arguments)


def test_gmm_and_its_gradients():
  lhs, rhs, sizes = arrays()
  run = jax.jit(lambda a, b: call_of_maxtext(a, b, sizes))
  y, pull = jax.vjp(run, lhs, rhs)
  exact = grouped_product(lhs, rhs, SIZES)
  assert 1e-3 < distance(y, exact) < 0.06
  assert not np.any(np.asarray(y[sum(SIZES) :]))
  dlhs, drhs = pull(y)
  assert not np.any(np.asarray(dlhs[sum(SIZES) :]))
  assert not np.any(np.asarray(drhs[1]))
  assert np.all(np.isfinite(drhs))
  run = jax.jit(lambda a, b: call_of_maxtext(a, b, sizes, transpose_rhs=True))
  transposed = run(lhs, rhs.mT)
  np.testing.assert_array_equal(transposed, y)


@jax.jit
def gmm_with_gradients(lhs, own, sizes, offset):
  y, pull = jax.vjp(
    lambda *x: call_of_maxtext(*x, sizes, group_offset=offset), lhs, own
  )
  return y, *pull(y)


@pytest.mark.parametrize("first", [0, 2, 3])
def test_gmm_of_some_of_the_groups(first):
  lhs, rhs, sizes = arrays()
  own = rhs[first : first + 2]

  y, dlhs, drhs = gmm_with_gradients(lhs, own, sizes, jnp.asarray([first]))
  exact = grouped_product(lhs, own, SIZES, first)
  assert 1e-3 < distance(y, exact) < 0.06
  assert not np.any(np.asarray(y)[~exact.any(axis=1)])
  assert not np.any(np.asarray(dlhs)[~exact.any(axis=1)])
  assert np.all(np.isfinite(drhs))


REFUSED = {
  "existing_out": jnp.zeros((ROWS, N)),
  "partial_sum": jnp.zeros((ROWS, N)),
  "weight_gather_axes": [("fsdp", 1)],
  "qwix_rule": object(),
  "use_qwix_quantization": True,
  "use_manual_quantization": True,
  "use_tokamax_backend": True,
  "use_gmm_v2": True,
  "lhs_quantize_dtype": jnp.int8,
  "rhs_quantize_dtype": jnp.int8,
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_gmm_cannot_honour_is_refused(name):
  with pytest.raises(NotImplementedError, match=f"{name} .*: "):
    call_of_maxtext(*arrays(), **{name: REFUSED[name]})


def test_gmm_needs_the_sizes_of_its_groups():
  lhs, rhs, sizes = arrays()
  with pytest.raises(ValueError, match="at least the 5 groups of rhs, got 3"):
    call_of_maxtext(lhs, rhs, sizes[:3], group_offset=1)
