"""K-grouped GEMMs under jit, vmap, jvp, shard_map and export."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import jax_deepgemm as dg

SIZES = jnp.asarray([130, 0, 40], jnp.int32)
fp8 = dg.k_grouped_fp8_gemm_tn_contiguous
bf16 = dg.k_grouped_bf16_gemm_tn_contiguous
either = pytest.mark.parametrize("f", [fp8, bf16], ids=["fp8", "bf16"])


def normal(shape, seed, dtype=jnp.bfloat16):
  return jnp.asarray(np.random.default_rng(seed).normal(size=shape), dtype)


A, B = normal((200, 8), 0), normal((200, 12), 1)
C = normal((3, 8, 12), 2, jnp.float32)


@either
def test_jit_changes_nothing(f):
  np.testing.assert_array_equal(jax.jit(f)(A, B, SIZES, C), f(A, B, SIZES, C))


@either
@pytest.mark.parametrize("axes", [(0, None, 0, None), (0, 1, None, 2)])
def test_vmap_is_one_product_after_the_other(f, axes):
  operands = (A, B, SIZES, C)
  others = (A[::-1], B[::-1], SIZES[::-1], C[::-1])
  batched = [
    x if axis is None else jnp.stack([x, y], axis)
    for x, y, axis in zip(operands, others, axes, strict=True)
  ]
  d = jax.jit(jax.vmap(f, axes))(*batched)
  chosen = [
    x if axis is None else y
    for x, y, axis in zip(operands, others, axes, strict=True)
  ]
  np.testing.assert_allclose(d[0], f(*operands), rtol=1e-5, atol=1e-5)
  np.testing.assert_allclose(d[1], f(*chosen), rtol=1e-5, atol=1e-5)


@either
def test_the_derivative_in_c_is_the_identity(f):
  def g(c):
    return f(A, B, SIZES, c)

  tangent = normal(C.shape, 3, jnp.float32)
  _, found = jax.jvp(g, (C,), (tangent,))
  np.testing.assert_array_equal(found, tangent)
  gradient = jax.jit(jax.grad(lambda c: (g(c) * tangent).sum()))(C)
  np.testing.assert_array_equal(gradient, tangent)


@either
@pytest.mark.parametrize("argument", [0, 1])
def test_other_gradients_are_refused(f, argument):
  def loss(x):
    operands = [A, B]
    operands[argument] = x
    return f(*operands, SIZES).sum()

  with pytest.raises(TypeError, match="has a gradient in c only"):
    jax.grad(loss)((A, B)[argument])
  stopped = jax.grad(lambda x: loss(jax.lax.stop_gradient(x)))
  assert not stopped((A, B)[argument]).any()


@either
@pytest.mark.parametrize("check_vma", [True, False])
def test_shard_map_computes_the_shards(f, check_vma):
  mesh = jax.make_mesh((2, 2), ("x", "y"), axis_types=(AxisType.Auto,) * 2)
  mapped = jax.shard_map(
    f,
    mesh=mesh,
    in_specs=(P(None, "x"), P(None, "y"), P(), P(None, "x", "y")),
    out_specs=P(None, "x", "y"),
    check_vma=check_vma,
  )
  np.testing.assert_allclose(
    jax.jit(mapped)(A, B, SIZES, C), f(A, B, SIZES, C), rtol=1e-5, atol=1e-5
  )


@either
def test_tokens_of_each_device_are_summed_by_the_user(f):
  mesh = jax.make_mesh((2,), ("x",), axis_types=(AxisType.Auto,))
  sizes = jnp.asarray([60, 0, 40, 1, 99, 0], jnp.int32)

  def shard(a, b, sizes):
    return jax.lax.psum(f(a, b, sizes), "x")

  mapped = jax.shard_map(
    shard, mesh=mesh, in_specs=(P("x"), P("x"), P("x")), out_specs=P()
  )
  parts = [
    f(A[i * 100 :][:100], B[i * 100 :][:100], sizes[i * 3 :][:3])
    for i in range(2)
  ]
  np.testing.assert_allclose(
    jax.jit(mapped)(A, B, sizes), parts[0] + parts[1], rtol=1e-5, atol=1e-5
  )


@either
def test_operands_on_several_devices_give_the_same_result(f):
  mesh = jax.make_mesh((4,), ("x",), axis_types=(AxisType.Auto,))
  a = jax.device_put(A, NamedSharding(mesh, P(None, "x")))
  b = jax.device_put(B, NamedSharding(mesh, P("x")))
  np.testing.assert_allclose(
    jax.jit(f)(a, b, SIZES), f(A, B, SIZES), rtol=1e-5, atol=1e-5
  )


@either
def test_explicitly_sharded_operands_are_refused(f):
  mesh = jax.make_mesh((4,), ("x",), axis_types=(AxisType.Explicit,))
  with jax.set_mesh(mesh):
    a = jax.device_put(A, NamedSharding(mesh, P(None, "x")))
    with pytest.raises(NotImplementedError, match=r"use jax\.shard_map"):
      f(a, B, SIZES)


@either
def test_an_exported_program_computes_the_same(f):
  exported = jax.export.export(
    jax.jit(f),
    platforms=("cpu", "cuda"),
    disabled_checks=dg.DISABLE_JAX_EXPORT_CHECKS,
  )(A, B, SIZES, C)
  again = jax.export.deserialize(exported.serialize())
  np.testing.assert_array_equal(again.call(A, B, SIZES, C), f(A, B, SIZES, C))
