"""The cast's primitive: what it lowers to, and its transformations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_deepgemm as dg
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import cast_reference
from jax_deepgemm.primitives.cast import cast
from jax_deepgemm.primitives.cast_form import KINDS, CastForm
from tests.primitives.cuda_lowering import launches, lowered_for_cuda

P = jax.sharding.PartitionSpec
X = jnp.asarray(np.random.default_rng(0).normal(size=(160, 264)), jnp.bfloat16)
SIZES = jnp.array([100, 60], jnp.int32)
OPTIONS = Options()


GROUPED = ("grouped", "rows_grouped", "live_rows", "live_values")


def operands(kind, x=X):
  return (x, SIZES) if kind in GROUPED else (x,)


def same_bits(actual, expected):
  for a, b in zip(actual, expected, strict=True):
    assert (a.shape, a.dtype) == (b.shape, b.dtype)
    np.testing.assert_array_equal(
      np.asarray(a).view(np.uint8), np.asarray(b).view(np.uint8)
    )


@pytest.fixture(autouse=True)
def no_lowering_of_another_test():
  jax.clear_caches()


@pytest.mark.parametrize("kind", KINDS)
def test_shapes_are_those_of_the_reference(kind):
  form = CastForm(kind, mn_major=kind == "rows")
  for shape in ((160, 264), (3, 7), (2, 129, 131)):
    if kind in GROUPED and len(shape) == 3:
      continue
    found = jax.eval_shape(
      lambda *x, form=form: cast_reference.cast(*x, form=form),
      *operands(kind, jnp.zeros(shape, jnp.bfloat16)),
    )
    num_groups = 2 if kind in GROUPED else 0
    assert form.shapes(shape, num_groups) == tuple(x.shape for x in found)


@pytest.mark.parametrize(
  ("name", "kernel"),
  [
    ("per_token_cast_to_fp8", "sm90_cast_rows"),
    ("per_channel_cast_to_fp8", "sm90_cast_tile"),
    ("per_block_cast_to_fp8", "sm90_cast_tile"),
    ("per_channel_transposed_cast_to_fp8", "sm90_cast_tile"),
    ("per_token_and_channel_cast_to_fp8", "sm90_cast_tile"),
  ],
)
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
def test_a_public_cast_is_one_launch_and_so_is_its_vmap(name, kernel, dtype):
  function = getattr(dg, name)
  with dg.options(implementation="kernel"):
    for f, x in ((function, X), (jax.vmap(function), jnp.stack([X] * 3))):
      (line,) = launches(lowered_for_cuda(f, x.astype(dtype)))
      assert kernel in line


@pytest.mark.parametrize("gran_k", [32, 128])
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
def test_a_cast_to_fp4_is_one_launch_and_so_is_its_vmap(gran_k, dtype):
  def cast_packed(x):
    return dg.per_token_cast_to_fp4(x, True, gran_k, gran_k == 32)

  with dg.options(implementation="kernel"):
    for f, x in ((cast_packed, X), (jax.vmap(cast_packed), jnp.stack([X] * 3))):
      (line,) = launches(lowered_for_cuda(f, x.astype(dtype)))
      assert "sm90_cast_rows" in line


@pytest.mark.parametrize("packed", [False, True])
def test_shapes_of_fp4_are_those_of_the_reference(packed):
  form = CastForm("rows", 32, True, fp4=True, packed=packed)
  for shape in ((160, 264), (3, 6), (2, 129, 130)):
    x = jnp.zeros(shape, jnp.bfloat16)
    found = jax.eval_shape(lambda x: cast_reference.cast(x, form=form), x)
    bound = jax.eval_shape(lambda x: cast(x, form=form, options=OPTIONS), x)
    expected = zip(form.shapes(shape), form.dtypes(2), strict=True)
    assert [(x.shape, x.dtype) for x in found] == list(expected)
    assert found == bound


def test_a_grouped_cast_is_one_launch():
  with dg.options(implementation="kernel"):
    (line,) = launches(lowered_for_cuda(dg.k_grouped_cast_to_fp8, X, SIZES))
  assert "sm90_cast_tile" in line


def test_a_cast_and_a_product_are_two_launches():
  b = dg.per_block_cast_to_fp8(X)

  def f(x):
    return dg.fp8_gemm_nt(dg.per_token_cast_to_fp8(x), b)

  assert len(launches(lowered_for_cuda(f, X))) == 2


@pytest.mark.parametrize(
  ("x", "gran_k", "reason"),
  [
    (X.astype(jnp.float16), 128, "float16, only bfloat16 and float32"),
    (X, 64, "rows in blocks of 64"),
  ],
)
def test_what_has_no_kernel_is_compiled_by_xla_or_refused(x, gran_k, reason):
  def f(x):
    return dg.per_token_cast_to_fp8(x, gran_k=gran_k)

  assert not launches(lowered_for_cuda(f, x))
  with (
    dg.options(implementation="kernel"),
    pytest.raises(NotImplementedError, match=f"no kernel casts {reason}"),
  ):
    lowered_for_cuda(f, x)


def test_the_reference_can_be_forced():
  with dg.options(implementation="reference"):
    assert not launches(lowered_for_cuda(dg.per_token_cast_to_fp8, X))


def test_the_cpu_has_no_kernel_to_insist_on():
  with (
    dg.options(implementation="kernel"),
    pytest.raises(NotImplementedError, match="casts have no kernel for cpu"),
  ):
    dg.per_token_cast_to_fp8(X)


@pytest.mark.parametrize("kind", KINDS)
def test_vmap_gives_the_bits_of_single_casts(kind):
  form = CastForm(kind)

  def f(*operands):
    return cast(*operands, form=form, options=OPTIONS)

  x = jnp.stack([X, X * 3])
  axes = (0, None) if kind in GROUPED else 0
  results = jax.vmap(f, axes)(*operands(kind, x))
  for i in range(2):
    same_bits([r[i] for r in results], f(*operands(kind, x[i])))
  # Another batch dimension.
  turned = jax.vmap(f, (1, None) if kind in GROUPED else 1)
  same_bits(turned(*operands(kind, jnp.moveaxis(x, 0, 1))), results)


def test_the_derivative_is_that_of_the_reference():
  form = CastForm("rows")
  x = X.astype(jnp.float32)

  def scales(cast):
    return lambda x: cast(x)[1].sum()

  actual = jax.grad(scales(lambda x: cast(x, form=form, options=OPTIONS)))(x)
  expected = jax.grad(scales(lambda x: cast_reference.cast(x, form=form)))(x)
  assert np.any(np.asarray(actual))
  np.testing.assert_array_equal(actual, expected)


def test_a_stopped_gradient_needs_no_derivative():
  def f(x):
    stopped = dg.per_token_cast_to_fp8(jax.lax.stop_gradient(x))
    return x.sum() + stopped.scales.sum()

  np.testing.assert_array_equal(jax.grad(f)(X.astype(jnp.float32)), 1)


def test_inside_shard_map_each_device_casts_its_shard():
  mesh = jax.make_mesh((4,), ("x",), axis_types=(jax.sharding.AxisType.Auto,))
  f = jax.shard_map(
    dg.per_token_cast_to_fp8, mesh=mesh, in_specs=P("x"), out_specs=P("x")
  )
  same_bits(jax.jit(f)(X), dg.per_token_cast_to_fp8(X))
  (line,) = launches(lowered_for_cuda(f, X))
  assert "tensor<40x264xbf16>" in line


@pytest.mark.parametrize("axis_type", ["Auto", "Explicit"])
def test_a_sharded_x_is_cast_where_it_is(axis_type):
  kind = getattr(jax.sharding.AxisType, axis_type)
  mesh = jax.make_mesh((4,), ("x",), axis_types=(kind,))
  x = jax.device_put(X, jax.sharding.NamedSharding(mesh, P("x")))
  with jax.set_mesh(mesh):
    values, scales = jax.jit(dg.per_token_cast_to_fp8)(x)
    assert not launches(lowered_for_cuda(dg.per_token_cast_to_fp8, x))
  assert values.sharding.shard_shape(values.shape) == (40, 264)
  same_bits((values, scales), dg.per_token_cast_to_fp8(X))


def test_a_cast_can_be_exported_for_both_platforms():
  exported = jax.export.export(
    jax.jit(dg.per_token_cast_to_fp8),
    platforms=("cpu", "cuda"),
    disabled_checks=dg.DISABLE_JAX_EXPORT_CHECKS,
  )(X)
  again = jax.export.deserialize(exported.serialize())
  same_bits(again.call(X), dg.per_token_cast_to_fp8(X))


def test_nothing_is_launched_for_an_empty_x():
  with dg.options(implementation="kernel"):
    empty = jnp.zeros((0, 128), jnp.bfloat16)
    assert not launches(lowered_for_cuda(dg.per_token_cast_to_fp8, empty))
