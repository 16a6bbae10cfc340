"""What fp8_gemm_nt lowers to for a GPU, and which GPU that is."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_deepgemm as dg
from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.primitives import fp8_gemm_lowering, target
from tests.primitives import stub_kernel
from tests.primitives.cuda_lowering import attribute, launches, lowered_for_cuda
from tests.primitives.gemm_oracle import scaled

A = scaled(16, 256, (1, 128), 1)
B = scaled(256, 256, (128, 128), 5)
C = jnp.zeros((16, 256), jnp.bfloat16)


@pytest.fixture(autouse=True)
def no_lowering_of_another_test():
  jax.clear_caches()


@pytest.fixture
def stub(monkeypatch):
  monkeypatch.setattr(fp8_gemm_lowering, "sm90_fp8_gemm", stub_kernel)


@pytest.fixture
def process_gpu(monkeypatch):
  def give(name, capability, num_sms=100):
    device = Device(name, capability, num_sms=num_sms)
    monkeypatch.setattr(target, "process_device", lambda: device)

  target._warn_once.cache_clear()
  return give


@pytest.fixture(params=["stub", "kernel"])
def either_kernel(request):
  if request.param == "stub":
    request.getfixturevalue("stub")


def test_a_product_is_one_launch(either_kernel):
  (line,) = launches(lowered_for_cuda(dg.fp8_gemm_nt, A, B))
  assert attribute(line, "num_launches") == "1"


def test_every_layout_is_one_launch(either_kernel):
  def flip(x):
    return dg.ScaledArray(x.values.T, x.scales.T)

  for gemm, a, b in (
    (dg.fp8_gemm_nn, A, flip(B)),
    (dg.fp8_gemm_tn, flip(A), flip(B)),
    (dg.fp8_gemm_tt, flip(A), B),
  ):
    assert len(launches(lowered_for_cuda(gemm, a, b))) == 1


def test_a_vmap_is_one_launch(either_kernel):
  stacked = jax.tree.map(lambda x: jnp.stack([x] * 3), A)
  for axes in ((0, None), (0, 0)):
    b = B if axes[1] is None else jax.tree.map(lambda x: jnp.stack([x] * 3), B)
    f = jax.vmap(dg.fp8_gemm_nt, axes)
    assert len(launches(lowered_for_cuda(f, stacked, b))) == 1


def test_a_product_and_its_gradients_are_three_products_and_four_casts(
  either_kernel,
):
  def loss(a, b):
    return (dg.fp8_gemm_nt(a, b).astype(jnp.float32) ** 2).sum()

  a, b = jnp.ones((128, 256)), jnp.ones((256, 256))
  lines = launches(lowered_for_cuda(jax.grad(loss, (0, 1)), a, b))
  casts = [line for line in lines if "sm90_cast_" in line]
  # A and B; then dY both ways at once, and A transposed.
  assert len(casts) == 4
  assert sum("sm90_cast_tile" in line for line in casts) == 3
  assert len(lines) - len(casts) == 3


def test_c_shares_the_memory_of_the_result(either_kernel):
  def f(a, b, c):
    return dg.fp8_gemm_nt(a, b, c)

  text = lowered_for_cuda(f, A, B, C, donate_argnums=2)
  (line,) = launches(text)
  assert "output_operand_alias<" in line
  assert "tf.aliasing_output = 0" in text or "jax.buffer_donor" in text


def test_options_reach_the_launch(stub):
  with dg.options(num_sms=64, pdl=True):
    (line,) = launches(lowered_for_cuda(dg.fp8_gemm_nt, A, B))
  assert attribute(line, "pdl") == "true"
  assert "64, 1, 1" in attribute(line, "grid")


@pytest.mark.parametrize(
  ("name", "num_sms"), [("NVIDIA H200", 132), ("NVIDIA H20", 78)]
)
def test_the_device_is_named_by_an_option(stub, name, num_sms):
  with dg.options(device=name):
    (line,) = launches(lowered_for_cuda(dg.fp8_gemm_nt, A, B))
  assert f"{num_sms}, 1, 1" in attribute(line, "grid")


def test_the_device_is_an_h200_where_there_is_no_gpu(stub):
  (line,) = launches(lowered_for_cuda(dg.fp8_gemm_nt, A, B))
  assert "132, 1, 1" in attribute(line, "grid")


def test_the_device_is_the_gpu_of_the_process(stub, process_gpu):
  process_gpu("NVIDIA H100 MIG", (9, 0), num_sms=60)
  (line,) = launches(lowered_for_cuda(dg.fp8_gemm_nt, A, B))
  assert "60, 1, 1" in attribute(line, "grid")


def test_an_unknown_device_is_refused():
  with (
    dg.options(device="GeForce 256"),
    pytest.raises(
      ValueError, match=r"unknown device 'GeForce 256'; known are .*NVIDIA H200"
    ),
  ):
    lowered_for_cuda(dg.fp8_gemm_nt, A, B)


def test_the_reference_can_be_forced(stub):
  with dg.options(implementation="reference"):
    assert not launches(lowered_for_cuda(dg.fp8_gemm_nt, A, B))


def test_another_gpu_gets_the_reference_and_one_warning(stub, process_gpu):
  process_gpu("NVIDIA A100", (8, 0))
  with pytest.warns(UserWarning, match=r"NVIDIA A100 \(compute capability 8.0"):
    text = lowered_for_cuda(dg.fp8_gemm_nt, A, B)
  assert not launches(text)
  with warnings.catch_warnings():
    warnings.simplefilter("error")
    lowered_for_cuda(dg.fp8_gemm_nn, A, A[0].T.astype(jnp.bfloat16))


def test_another_gpu_has_no_kernel_to_insist_on(stub, process_gpu):
  process_gpu("NVIDIA A100", (8, 0))
  with (
    dg.options(implementation="kernel"),
    pytest.raises(
      NotImplementedError,
      match=r"no kernel for NVIDIA A100.*implementation='reference'",
    ),
  ):
    lowered_for_cuda(dg.fp8_gemm_nt, A, B)


def test_the_cpu_has_no_kernel_to_insist_on():
  with (
    dg.options(implementation="kernel"),
    pytest.raises(
      NotImplementedError, match=r"no kernel for cpu.*implementation='auto'"
    ),
  ):
    dg.fp8_gemm_nt(A, B)


def test_a_recipe_without_a_kernel_names_the_way_out(stub):
  a = scaled(128, 256, (128, 128), 1)

  def f(a, b):
    return dg.fp8_gemm_nt(a, b, recipe=(128, 128, 128))

  with pytest.raises(
    NotImplementedError,
    match=r"no kernel for recipe_a=\(128, 128\).*implementation='reference'",
  ):
    lowered_for_cuda(f, a, B)
  with dg.options(implementation="reference"):
    assert not launches(lowered_for_cuda(f, a, B))


def test_both_platforms_can_be_lowered_together(stub):
  exported = jax.export.export(
    jax.jit(dg.fp8_gemm_nt),
    platforms=("cpu", "cuda"),
    disabled_checks=dg.DISABLE_JAX_EXPORT_CHECKS,
  )(A, B)
  np.testing.assert_array_equal(
    exported.call(*jax.tree.map(jnp.asarray, (A, B))), dg.fp8_gemm_nt(A, B)
  )


def test_kernels_may_be_lowered_inside_shard_map(stub):
  mesh = jax.make_mesh((4,), ("x",), axis_types=(jax.sharding.AxisType.Auto,))
  P = jax.sharding.PartitionSpec
  f = jax.shard_map(
    dg.fp8_gemm_nt,
    mesh=mesh,
    in_specs=(P("x"), P()),
    out_specs=P("x"),
    check_vma=True,
  )
  (line,) = launches(lowered_for_cuda(f, A, B))
  assert "tensor<1x4x256xf8E4M3FN>" in line
