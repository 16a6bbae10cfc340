"""What K-grouped BF16 GEMMs lower to for a GPU, read without one."""

import jax
import jax.numpy as jnp
import pytest

import jax_deepgemm as dg
from benchmarks import kernel_programs
from tests.primitives.cuda_lowering import launches, lowered_for_cuda

tn, nt = (
  dg.k_grouped_bf16_gemm_tn_contiguous,
  dg.k_grouped_bf16_gemm_nt_contiguous,
)


@pytest.fixture(autouse=True)
def no_lowering_of_another_test():
  jax.clear_caches()


def operands(m, n, sum_k, *, groups=3, with_c=False, k_axis=0):
  found = [
    jax.ShapeDtypeStruct((sum_k, x) if k_axis == 0 else (x, sum_k), "bfloat16")
    for x in (m, n)
  ]
  found.append(jax.ShapeDtypeStruct((groups,), jnp.int32))
  if with_c:
    found.append(jax.ShapeDtypeStruct((groups, m, n), jnp.float32))
  return found


def launch(*sizes, **fields):
  lowered = kernel_programs.lowered_for(
    jax.jit(tn), *operands(*sizes, **fields), device="NVIDIA H200"
  )
  (found,) = kernel_programs.launches(lowered)
  assert found["kernel"] == "sm90_k_grouped_bf16_gemm"
  return found


def params(found):
  names = ["a", "b", "d", "starts", "sizes", "parts", "k"]
  names += ["num_m", "num_n", "num_groups", "raster_width"]
  values = [found["params"][f"p{i:02}"] for i in range(len(names))]
  assert len(found["params"]) == len(names)
  return dict(zip(names, values, strict=True))


def test_operands_are_read_as_they_are():
  text = lowered_for_cuda(tn, *operands(96, 200, 1000))
  (line,) = launches(text)
  assert "(%arg0, %arg1, " in line
  found = params(launch(96, 200, 1000))
  # Neither padded nor transposed, in boxes of 64 rows of 64 columns.
  assert found["a"]["dims"] == [96, 1000, 1]
  assert found["b"]["dims"] == [200, 1000, 1]
  assert found["a"]["box"] == found["b"]["box"] == [64, 64, 1]
  assert found["k"]["value"] == 1000


def test_rows_that_tma_cannot_read_are_padded():
  found = params(launch(100, 201, 1000))
  assert found["a"]["strides"][0] == 104 * 2
  assert found["b"]["strides"][0] == 208 * 2
  assert found["d"]["dims"] == [204, 100, 3]
  text = lowered_for_cuda(tn, *operands(100, 201, 1000))
  assert text.count("stablehlo.pad") >= 2


def test_k_last_is_transposed_and_never_gathered():
  text = lowered_for_cuda(nt, *operands(96, 200, 1000, k_axis=1))
  assert len(launches(text)) == 1
  assert text.count("stablehlo.transpose") == 2
  assert "gather" not in text


def test_c_shares_the_memory_of_the_result():
  text = lowered_for_cuda(
    tn, *operands(4096, 4096, 4096, with_c=True), donate_argnums=3
  )
  (line,) = launches(text)
  assert "output_operand_alias<" in line
  assert "tf.aliasing_output = 0" in text or "jax.buffer_donor" in text


def test_large_problems_are_not_cut_and_small_ones_are():
  assert params(launch(4096, 7168, 34304, groups=4))["parts"]["value"] == 1
  small = params(launch(256, 256, 8192, groups=2))
  assert small["parts"]["value"] > 1
  assert small["num_groups"]["value"] == 2 * small["parts"]["value"]
  assert small["d"]["dims"][2] == small["num_groups"]["value"]


def test_parts_are_added_to_c_afterwards():
  found = launch(256, 256, 8192, groups=2, with_c=True)
  assert not kernel_programs.config_of(found)["with_c"]
  whole = launch(4096, 4096, 4096, with_c=True)
  assert kernel_programs.config_of(whole)["with_c"]


def test_more_groups_than_the_kernel_takes_are_refused():
  launch(128, 128, 4096, groups=1024)
  with pytest.raises(
    NotImplementedError, match=r"up to 1024 groups, got 1025.*'reference'"
  ):
    launch(128, 128, 4096, groups=1025)


def test_a_vmap_launches_in_a_loop():
  shapes = operands(64, 64, 512)
  batched = [jax.ShapeDtypeStruct((2, *x.shape), x.dtype) for x in shapes[:2]]
  f = jax.vmap(tn, (0, 0, None))
  text = lowered_for_cuda(f, *batched, shapes[2])
  assert len(launches(text)) == 1
  assert "stablehlo.while" in text


def test_the_reference_can_be_forced():
  with dg.options(implementation="reference"):
    assert not launches(lowered_for_cuda(tn, *operands(64, 64, 512)))
