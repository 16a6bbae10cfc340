"""What copies operands and results of odd pitch, read without a GPU."""

import jax
import jax.numpy as jnp
import pytest

import jax_deepgemm
from benchmarks import kernel_programs


def _lowered(m, n, k, dtype):
  if dtype == jnp.bfloat16:
    a, b = (jax.ShapeDtypeStruct((rows, k), dtype) for rows in (m, n))
    product = jax_deepgemm.bf16_gemm_nt
  else:
    blocks = -(-k // 128)
    a, b = (
      (
        jax.ShapeDtypeStruct((rows, k), dtype),
        jax.ShapeDtypeStruct((scale_rows, blocks), jnp.float32),
      )
      for rows, scale_rows in ((m, m), (n, -(-n // 128)))
    )
    product = jax_deepgemm.fp8_gemm_nt
  return kernel_programs.lowered_for(
    jax.jit(product), a, b, device="NVIDIA H200"
  )


def _kernels(lowered):
  return [call["kernel"] for call in kernel_programs.launches(lowered)]


def _pads_of_values(lowered):
  """Returns the paddings that are not of scales."""
  lines = lowered.as_text().splitlines()
  return [line for line in lines if "stablehlo.pad" in line and "f8E4" in line]


@pytest.mark.parametrize("k", [7152, 7150])
def test_both_operands_are_copied_by_one_launch(k):
  lowered = _lowered(4096, 4096, k, jnp.float8_e4m3fn)
  assert _kernels(lowered) == ["sm90_copy_rows", "sm90_fp8_gemm"]
  assert not _pads_of_values(lowered)
  copy, _ = kernel_programs.launches(lowered)
  values = [copy["params"][f"p{i:02}"] for i in range(13)]
  assert len(copy["params"]) == len(values)
  sizes = [4096, k, k, 7168]
  found = [value["value"] for value in values if "value" in value]
  assert found == [*sizes, *sizes, copy["grid"][0] // 2]


def test_of_one_operand_no_second_is_made():
  # Rows of A^T and of B^T are m and n long.
  a = jax.ShapeDtypeStruct((2048, 4095), jnp.bfloat16)
  b = jax.ShapeDtypeStruct((2048, 4096), jnp.bfloat16)
  lowered = kernel_programs.lowered_for(
    jax.jit(jax_deepgemm.bf16_gemm_tn), a, b, device="NVIDIA H200"
  )
  copy, product = kernel_programs.launches(lowered)
  assert copy["kernel"] == "sm90_copy_rows"
  assert copy["params"]["p12"]["value"] == copy["grid"][0]
  assert product["kernel"] == "sm90_bf16_gemm"


@pytest.mark.parametrize("dtype", [jnp.float8_e4m3fn, jnp.bfloat16])
def test_results_of_odd_width_are_copied(dtype):
  lowered = _lowered(4096, 7169, 2048, dtype)
  *_, copy = _kernels(lowered)
  assert copy == "sm90_copy_rows"
  assert "stablehlo.slice" not in lowered.as_text()


def test_small_copies_are_those_of_xla():
  lowered = _lowered(100, 130, 1000, jnp.float8_e4m3fn)
  assert "sm90_copy_rows" not in _kernels(lowered)
  assert len(_pads_of_values(lowered)) == 2


def test_nothing_is_copied_that_need_not_be():
  lowered = _lowered(4096, 4096, 7168, jnp.bfloat16)
  assert _kernels(lowered) == ["sm90_bf16_gemm"]
