"""What the Hopper kernel's call says, read without a GPU."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_deepgemm
from benchmarks import kernel_programs
from jax_deepgemm.environment import ENVIRONMENT
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import print_config, sm90_fp8_gemm


def _launch(m, n, k, *, c=False, out_dtype=jnp.bfloat16, recipe=None):
  a = (
    jax.ShapeDtypeStruct((m, k), jnp.float8_e4m3fn),
    jax.ShapeDtypeStruct((m, -(-k // 128)), jnp.float32),
  )
  rows = n if recipe == (1, 1, 128) else -(-n // 128)
  b = (
    jax.ShapeDtypeStruct((n, k), jnp.float8_e4m3fn),
    jax.ShapeDtypeStruct((rows, -(-k // 128)), jnp.float32),
  )
  operands = [a, b]
  if c:
    operands.append(jax.ShapeDtypeStruct((m, n), out_dtype))

  @jax.jit
  def gemm(*operands):
    return jax_deepgemm.fp8_gemm_nt(
      *operands, out_dtype=out_dtype, recipe=recipe
    )

  lowered = kernel_programs.lowered_for(gemm, *operands, device="NVIDIA H200")
  (launch,) = (
    launch
    for launch in kernel_programs.launches(lowered)
    if launch["kernel"] != "sm90_pad_rows"
  )
  return launch


def _maps(launch):
  names = ["a", "a_rest", "b", "b_rest", "a_block", "b_block"]
  names += ["sfa", "sfb", "d", "d_rest"]
  params = [launch["params"][f"p{i:02}"] for i in range(len(names))]
  return dict(zip(names, params, strict=True))


def test_maps_describe_the_operands_of_an_odd_shape():
  maps = _maps(_launch(100, 200, 1008))
  # 7 whole blocks of K, and a map that ends where K does.
  assert maps["a"]["dims"] == [128, 100, 7, 1]
  assert maps["a"]["strides"] == [1008, 128, 100800]  # Rows of 16 bytes.
  assert maps["b"]["dims"] == [128, 200, 7, 1]
  assert maps["a_block"]["dims"] == [1008, 100, 1]
  assert maps["a_block"]["strides"] == [1008, 100800]
  assert maps["a_block"]["box"] == [128, maps["a"]["box"][1], 1]
  assert maps["b_block"]["dims"] == [1008, 200, 1]
  assert maps["sfa"]["dims"] == [100, 8, 1]
  assert maps["d"]["dims"] == [200, 100, 1]


@pytest.mark.parametrize("m", [300, 4097, 4096])
def test_the_last_box_of_a_ends_where_a_does(m):
  maps = _maps(_launch(m, 4096, 7168))
  rows = maps["a"]["box"][1]
  assert maps["a_rest"]["box"] == [128, m % rows or rows, 1]
  assert maps["a_rest"]["dims"] == [7168, m, 1]
  assert maps["a_rest"]["index"] == 0


@pytest.mark.parametrize(
  "shape",
  [(100, 200, 1000), (600, 512, 1008)],  # Not for TMA, and worth a copy.
  ids=str,
)
def test_copied_operands_have_rows_of_32_bytes(shape):
  maps = _maps(_launch(*shape))
  assert maps["a"]["strides"][0] == maps["b"]["strides"][0] == 1024
  assert maps["sfa"]["dims"] == [shape[0], 8, 1]


def test_a_result_of_odd_width_has_padded_rows():
  maps = _maps(_launch(3, 130, 256))
  assert maps["d"]["dims"] == [136, 3, 1]
  assert maps["d"]["strides"] == [272, 816]
  assert _maps(_launch(3, 130, 256, out_dtype=jnp.float32))["d"]["dims"] == [
    132,
    3,
    1,
  ]


def test_scales_of_a_short_operand_are_padded_to_16_bytes():
  assert _maps(_launch(1, 128, 256))["sfa"]["dims"] == [4, 2, 1]


def test_scales_per_row_of_b_have_a_map():
  maps = _maps(_launch(100, 202, 256, recipe=(1, 1, 128)))
  assert maps["sfb"]["dims"] == [204, 2, 1]
  assert maps["sfb"]["index"] == 3


@pytest.mark.parametrize(
  "shape", [(900, 2112, 7168), (4096, 576, 7168), (4096, 16384, 7168)]
)
def test_boxes_are_what_tma_takes(shape):
  for tensor in _maps(_launch(*shape)).values():
    assert all(1 <= size <= 256 for size in tensor["box"])
    assert all(stride % 16 == 0 for stride in tensor["strides"])


def test_the_grid_holds_whole_clusters():
  launch = _launch(4096, 7168, 16384)
  size = launch["cluster"][0]
  assert launch["grid"][0] % size == 0
  assert launch["grid"][0] <= 132


def test_every_configuration_is_printed_once(monkeypatch, capsys):
  environment = dataclasses.replace(ENVIRONMENT, print_configs=True)
  monkeypatch.setattr(print_config, "ENVIRONMENT", environment)
  for _ in range(2):
    _launch(77, 1234, 256)
  printed = capsys.readouterr().out
  assert printed.count("Fp8GemmProblem(m=77, n=1234, k=256") == 1
  assert "block_n=" in printed


def test_a_recipe_without_a_kernel_is_refused_with_those_that_have_one():
  operands = [jnp.zeros((1, 4, 128))] * 4
  with pytest.raises(NotImplementedError, match=r"only for \(1, 128\) with"):
    sm90_fp8_gemm.run(
      *operands,
      None,
      out_dtype=np.dtype("float32"),
      recipe_a=(1, 32),
      recipe_b=(1, 32),
      options=Options(),
      device=None,
    )
