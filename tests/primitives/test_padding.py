"""What copies operands of odd pitch, read without a GPU."""

import jax
import jax.numpy as jnp
import pytest

import jax_deepgemm
from benchmarks import kernel_programs


def _lowered(m, n, k):
  a, b = (
    (
      jax.ShapeDtypeStruct((rows, k), jnp.float8_e4m3fn),
      jax.ShapeDtypeStruct((scale_rows, -(-k // 128)), jnp.float32),
    )
    for rows, scale_rows in ((m, m), (n, -(-n // 128)))
  )
  product = jax.jit(jax_deepgemm.fp8_gemm_nt)
  return kernel_programs.lowered_for(product, a, b, device="NVIDIA H200")


def _kernels(lowered):
  return [call["kernel"] for call in kernel_programs.launches(lowered)]


def _pads_of_values(lowered):
  """Returns the paddings that are not of scales."""
  lines = lowered.as_text().splitlines()
  return [line for line in lines if "stablehlo.pad" in line and "f8E4" in line]


@pytest.mark.parametrize("k", [7152, 7150])
def test_both_operands_are_padded_by_one_launch(k):
  lowered = _lowered(4096, 4096, k)
  assert _kernels(lowered) == ["sm90_pad_rows", "sm90_fp8_gemm"]
  assert not _pads_of_values(lowered)
  pad, product = kernel_programs.launches(lowered)
  params = [pad["params"][f"p{i:02}"] for i in range(11)]
  assert len(pad["params"]) == len(params)
  rows = [4096, k, 7168 // 16]
  numbers = [param["value"] for param in params if "value" in param]
  assert numbers == [*rows, *rows, pad["grid"][0] // 2]
  assert product["params"]["p00"]["strides"][0] == 7168


def test_one_operand_may_be_padded_alone():
  # Codes of FP4 are half as many bytes: an odd multiple of 8.
  k = 7184
  a = (
    jax.ShapeDtypeStruct((256, k), jnp.float8_e4m3fn),
    jax.ShapeDtypeStruct((256, 57), jnp.float32),
  )
  b = (
    jax.ShapeDtypeStruct((4096, k // 2), jnp.int8),
    jax.ShapeDtypeStruct((4096, 57), jnp.int32),
  )
  product = jax.jit(jax_deepgemm.fp8_fp4_gemm_nt)
  lowered = kernel_programs.lowered_for(product, a, b, device="NVIDIA H200")
  assert _kernels(lowered) == ["sm90_pad_rows", "sm90_fp8_fp4_gemm"]
  pad, _ = kernel_programs.launches(lowered)
  assert pad["params"]["p03"]["value"] == k // 2
  assert pad["params"]["p10"]["value"] == pad["grid"][0]


def test_groups_of_rows_are_padded_together_with_their_weights():
  k, groups = 7150, 4
  a = (
    jax.ShapeDtypeStruct((256, k), jnp.float8_e4m3fn),
    jax.ShapeDtypeStruct((256, 56), jnp.float32),
  )
  b = (
    jax.ShapeDtypeStruct((groups, 512, k), jnp.float8_e4m3fn),
    jax.ShapeDtypeStruct((groups, 4, 56), jnp.float32),
  )
  sizes = jax.ShapeDtypeStruct((groups,), jnp.int32)
  lowered = kernel_programs.lowered_for(
    jax.jit(jax_deepgemm.m_grouped_fp8_gemm_nt_ragged),
    *(a, b, sizes),
    device="NVIDIA H200",
  )
  assert _kernels(lowered) == ["sm90_pad_rows", "sm90_m_grouped_fp8_gemm"]
  pad, _ = kernel_programs.launches(lowered)
  assert pad["params"]["p07"]["value"] == groups * 512


def test_small_copies_are_those_of_xla():
  lowered = _lowered(100, 130, 1000)
  assert _kernels(lowered) == ["sm90_fp8_gemm"]
  assert len(_pads_of_values(lowered)) == 2


def test_nothing_is_copied_that_need_not_be():
  assert _kernels(_lowered(4096, 4096, 7168)) == ["sm90_fp8_gemm"]
