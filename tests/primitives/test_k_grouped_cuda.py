"""What K-grouped GEMMs lower to for a GPU, read without one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_deepgemm as dg
from benchmarks import kernel_programs
from tests.k_grouped_data import quantised
from tests.primitives.cuda_lowering import (
  launches,
  lowered_for_cuda,
  product_launches,
)

SIZES = jax.ShapeDtypeStruct((3,), jnp.int32)


@pytest.fixture(autouse=True)
def no_lowering_of_another_test():
  jax.clear_caches()


def plain(*shape):
  return jax.ShapeDtypeStruct(shape, jnp.bfloat16)


def launch(m, n, sum_k, *, groups=3, with_c=False):
  operands = [plain(sum_k, m), plain(sum_k, n)]
  operands.append(jax.ShapeDtypeStruct((groups,), jnp.int32))
  if with_c:
    operands.append(jax.ShapeDtypeStruct((groups, m, n), jnp.float32))
  f = jax.jit(dg.k_grouped_fp8_gemm_tn_contiguous)
  lowered = kernel_programs.lowered_for(f, *operands, device="NVIDIA H200")
  *casts, found = kernel_programs.launches(lowered)
  assert [cast["kernel"] for cast in casts] == ["sm90_cast_tile"] * 2
  return found


def params(found):
  names = ["a", "b", "sfa", "sfb", "d", "sizes", "parts", "k_blocks"]
  names += ["num_m", "num_n", "num_groups", "raster_width"]
  values = [found["params"][f"p{i:02}"] for i in range(len(names))]
  assert len(found["params"]) == len(names)
  return dict(zip(names, values, strict=True))


def test_one_map_covers_an_operand():
  found = params(launch(100, 202, 1000))
  # 8 blocks of tokens, and one of padding for each group.
  assert found["a"]["dims"] == [11 * 128, 100, 1]
  assert found["b"]["dims"] == [11 * 128, 202, 1]
  assert found["sfa"]["dims"] == [100, 11, 1]
  assert found["sfb"]["dims"] == [204, 11, 1]
  assert found["k_blocks"]["value"] == 11


def test_a_result_of_odd_width_has_padded_rows():
  found = params(launch(4096, 4097, 1000))
  assert found["d"]["dims"] == [4100, 4096, 3]
  assert found["d"]["strides"] == [4100 * 4, 4096 * 4100 * 4]


def test_boxes_of_a_result_do_not_overlap():
  for n in (24, 96, 150, 4096):
    found = launch(512, n, 1000, with_c=True)
    config = kernel_programs.config_of(found)
    columns = params(found)["d"]["box"][0]
    assert config["block_n"] % columns == 0


def test_c_shares_the_memory_of_the_result():
  c = jax.ShapeDtypeStruct((3, 4096, 4096), jnp.float32)
  operands = (plain(4096, 4096), plain(4096, 4096), SIZES, c)
  text = lowered_for_cuda(
    dg.k_grouped_fp8_gemm_tn_contiguous, *operands, donate_argnums=3
  )
  (line,) = product_launches(text)
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
  assert kernel_programs.config_of(launch(4096, 4096, 4096, with_c=True))[
    "with_c"
  ]


def test_more_groups_than_the_kernel_takes_are_refused():
  assert launch(128, 128, 4096, groups=1024)["kernel"].startswith("sm90_")
  with pytest.raises(
    NotImplementedError, match=r"up to 1024 groups, got 1025.*'reference'"
  ):
    launch(128, 128, 4096, groups=1025)


def test_options_reach_the_launch():
  operands = (plain(4096, 4096), plain(4096, 4096), SIZES)
  with dg.options(num_sms=20, pdl=True):
    text = lowered_for_cuda(dg.k_grouped_fp8_gemm_tn_contiguous, *operands)
  (line,) = product_launches(text)
  assert "pdl = true" in line
  assert "grid = dense<[20, 1, 1]>" in line
  with dg.options(block_size_multiple_of=(128, 64)):
    text = lowered_for_cuda(dg.k_grouped_fp8_gemm_tn_contiguous, *operands)
  assert len(product_launches(text)) == 1


def test_the_reference_can_be_forced():
  operands = (plain(512, 64), plain(512, 64), SIZES)
  with dg.options(implementation="reference"):
    text = lowered_for_cuda(dg.k_grouped_fp8_gemm_tn_contiguous, *operands)
  assert not launches(text)


def test_a_vmap_launches_in_a_loop():
  operands = (plain(2, 512, 64), plain(2, 512, 64), SIZES)
  f = jax.vmap(dg.k_grouped_fp8_gemm_tn_contiguous, (0, 0, None))
  text = lowered_for_cuda(f, *operands)
  assert len(product_launches(text)) == 1
  assert "stablehlo.while" in text


def test_the_cpu_has_no_kernel_to_insist_on():
  bf16 = np.ones((256, 8), jnp.bfloat16)
  sizes = np.array([256], np.int32)
  for f, a, name in (
    (dg.k_grouped_fp8_gemm_tn_contiguous, bf16, "casts have"),
    (
      dg.k_grouped_fp8_gemm_tn_contiguous,
      quantised(8, (256,), 256, 1),
      "k_grouped_fp8_gemm has",
    ),
    (dg.k_grouped_bf16_gemm_tn_contiguous, bf16, "k_grouped_bf16_gemm has"),
  ):
    with (
      dg.options(implementation="kernel"),
      pytest.raises(NotImplementedError, match=f"{name} no kernel for cpu"),
    ):
      f(a, a, sizes)


@pytest.mark.parametrize(
  ("product", "kernel", "dtype"),
  [
    (dg.fp8_ragged_dot, "sm90_k_grouped_fp8_gemm", "f32"),
    (dg.fp8_ragged_dot, "sm90_k_grouped_fp8_gemm", "bf16"),
    (dg.m_grouped_bf16_gemm_nt_ragged, "sm90_k_grouped_bf16_gemm", "bf16"),
  ],
)
def test_a_gradient_leaves_the_kernel_in_the_weights_dtype(
  product, kernel, dtype
):
  def weight_gradient(x, w, sizes, dy):
    return jax.vjp(lambda w: product(x, w, sizes), w)[1](dy)

  shapes = [(500, 256), (3, 256, 256), (500, 256)]
  name = {"f32": "float32", "bf16": "bfloat16"}[dtype]
  x, w, dy = (jax.ShapeDtypeStruct(shape, name) for shape in shapes)
  lowered = kernel_programs.lowered_for(
    jax.jit(weight_gradient), x, w, SIZES, dy, device="NVIDIA H200"
  )
  (found,) = (
    launch
    for launch in kernel_programs.launches(lowered)
    if launch["kernel"] == kernel
  )
  maps = [x for x in found["params"].values() if x["kind"] == "tensor_map"]
  # D is the last one.
  assert maps[-1]["dims"] == [256, 256, 3]
  assert maps[-1]["dtype"] == dtype
