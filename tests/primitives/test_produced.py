"""Casts of what is made on the way: lowering, batching, sharding."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_deepgemm as dg
from jax_deepgemm import fused_casts, quantize
from jax_deepgemm.heuristics.sm90_cast import CastSource
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import produced
from jax_deepgemm.primitives.cast import cast
from jax_deepgemm.primitives.cast_form import CastForm
from tests.primitives.cuda_lowering import launches, lowered_for_cuda
from tests.primitives.test_cast import same_bits

P = jax.sharding.PartitionSpec
RANDOM = np.random.default_rng(0)
H = jnp.asarray(RANDOM.normal(size=(160, 512)), jnp.bfloat16)
X, DY = H[:, :256], H[:, 256:]
WEIGHT = jnp.asarray(RANDOM.uniform(1, 2, 256), jnp.float32)
RSTD = jnp.asarray(RANDOM.uniform(1, 2, 160), jnp.float32)
INDICES = jnp.asarray(RANDOM.integers(-1, 161, 160), jnp.int32)
SIZES = jnp.array([100, 60], jnp.int32)
OPERANDS = {
  CastSource.PLAIN: (X,),
  CastSource.GATHER: (X, INDICES),
  CastSource.SWIGLU: (H,),
  CastSource.WEIGHTED_SWIGLU: (H, RSTD, jnp.float32(1)),
  CastSource.SWIGLU_GRADIENT: (H, DY),
  CastSource.RMS_NORM: (X, WEIGHT, RSTD),
}


def weighted_swiglu(h, weights, **options):
  return dg.swiglu_cast_to_fp8(h, weights=weights, clamp=1.5, **options)


@pytest.fixture(autouse=True)
def no_lowering_of_another_test():
  jax.clear_caches()


@pytest.mark.parametrize("source", CastSource)
def test_shapes_are_those_of_what_is_made(source):
  operands = OPERANDS[source]
  made = jax.eval_shape(lambda *x: produced.produce(source, *x), *operands)
  assert made.shape == produced.shape(source, *(x.shape for x in operands))
  assert made.dtype == jnp.bfloat16
  form = CastForm("rows", source=source)
  values, scales = jax.eval_shape(
    lambda *x: cast(*x, form=form, options=Options()), *operands
  )
  assert values.shape == made.shape
  assert scales.shape == (made.shape[0], made.shape[1] // 128)


@pytest.mark.parametrize(
  ("function", "operands"),
  [
    (dg.swiglu_cast_to_fp8, (H,)),
    (weighted_swiglu, (H, RSTD)),
    (dg.swiglu_gradient_cast_to_fp8, (H, DY)),
    (dg.gather_cast_to_fp8, (X, INDICES)),
  ],
)
def test_a_fused_cast_is_one_launch_and_nothing_before_it(function, operands):
  with dg.options(implementation="kernel"):
    text = lowered_for_cuda(function, *operands)
    (line,) = launches(text)
    assert "sm90_cast_rows" in line
    both = lowered_for_cuda(
      lambda *x: function(*x, with_transpose=True), *operands
    )
    (line,) = launches(both)
  assert "sm90_cast_tile" in line
  assert "stablehlo.logistic" not in text
  assert "stablehlo.gather" not in text


def test_a_norm_is_a_reduction_and_one_launch():
  with dg.options(implementation="kernel"):
    text = lowered_for_cuda(dg.rms_norm_cast_to_fp8, X, WEIGHT)
  assert len(launches(text)) == 1
  assert text.count("stablehlo.reduce") == 1


def test_both_outputs_of_weights_and_of_tokens_are_one_launch():
  options = Options(implementation="kernel")

  def weights(x):
    return quantize.cast_blocks_both(x, False, options)

  def tokens(h, sizes):
    y = fused_casts.swiglu(h)
    return quantize.cast_rows_grouped(y, sizes, False, options)

  for f, operands in ((weights, (X,)), (tokens, (H, SIZES))):
    (line,) = launches(lowered_for_cuda(f, *operands))
    assert "sm90_cast_tile" in line


def test_what_no_kernel_makes_is_compiled_by_xla_or_refused():
  h, dy = H[:, :400], DY[:, :200]
  function = dg.swiglu_gradient_cast_to_fp8
  assert not launches(lowered_for_cuda(function, h, dy))
  with (
    dg.options(implementation="kernel"),
    pytest.raises(NotImplementedError, match="halves of 200 columns"),
  ):
    lowered_for_cuda(function, h, dy)


@pytest.mark.parametrize(
  ("source", "axes", "num_launches"),
  [
    (CastSource.GATHER, (0, 0), 1),
    (CastSource.GATHER, (0, None), 1),
    (CastSource.GATHER, (None, 0), 1),  # In a loop.
    (CastSource.SWIGLU, (0,), 1),
    (CastSource.WEIGHTED_SWIGLU, (0, 0, None), 1),
    (CastSource.WEIGHTED_SWIGLU, (None, 0, 0), 1),  # In a loop.
    (CastSource.SWIGLU_GRADIENT, (0, None), 1),
    (CastSource.RMS_NORM, (0, None, 0), 1),
    (CastSource.RMS_NORM, (0, 0, None), 1),  # In a loop.
  ],
)
def test_vmap_gives_the_bits_of_single_casts(source, axes, num_launches):
  form = CastForm("rows", mn_major=True, source=source)

  def f(*operands):
    return cast(*operands, form=form, options=Options())

  single = OPERANDS[source]
  batches = [
    x if axis is None else jnp.stack([x, x[::-1] if x.ndim else x / 2])
    for x, axis in zip(single, axes, strict=True)
  ]
  results = jax.vmap(f, axes)(*batches)
  for i in range(2):
    element = [
      x if axis is None else x[i] for x, axis in zip(batches, axes, strict=True)
    ]
    same_bits([r[i] for r in results], f(*element))
  found = launches(lowered_for_cuda(jax.vmap(f, axes), *batches))
  assert len(found) == num_launches


def test_inside_shard_map_each_device_casts_its_shard():
  mesh = jax.make_mesh((4,), ("x",), axis_types=(jax.sharding.AxisType.Auto,))
  f = jax.shard_map(
    lambda x, w: dg.rms_norm_cast_to_fp8(x, w),
    mesh=mesh,
    in_specs=(P("x"), P()),
    out_specs=P("x"),
  )
  same_bits(jax.jit(f)(X, WEIGHT), jax.jit(dg.rms_norm_cast_to_fp8)(X, WEIGHT))
  (line,) = launches(lowered_for_cuda(f, X, WEIGHT))
  assert "tensor<40x256xbf16>" in line


def test_operands_that_are_sharded_are_cast_by_xla():
  mesh = jax.make_mesh(
    (4,), ("x",), axis_types=(jax.sharding.AxisType.Explicit,)
  )
  h = jax.device_put(H, jax.sharding.NamedSharding(mesh, P("x")))
  with jax.set_mesh(mesh):
    result = jax.jit(dg.swiglu_cast_to_fp8)(h)
  same_bits(result, jax.jit(dg.swiglu_cast_to_fp8)(H))


def test_the_derivative_is_that_of_the_reference():
  def loss(x, w):
    return dg.rms_norm_cast_to_fp8(x, w).scales.sum()

  gradients = jax.grad(loss, argnums=(0, 1))(X.astype(jnp.float32), WEIGHT)
  assert all(np.all(np.isfinite(g)) and np.any(g) for g in gradients)
