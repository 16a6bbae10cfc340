"""What the Hopper BF16 kernel's call says, read without a GPU."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest

import jax_deepgemm
from benchmarks import kernel_programs
from jax_deepgemm.environment import ENVIRONMENT
from jax_deepgemm.primitives import print_config


def _lowered(layout, m, n, k, *, c=False, out_dtype=jnp.bfloat16):
  a = (k, m) if layout[0] == "t" else (m, k)
  b = (k, n) if layout[1] == "n" else (n, k)
  operands = [jax.ShapeDtypeStruct(shape, jnp.bfloat16) for shape in (a, b)]
  if c:
    operands.append(jax.ShapeDtypeStruct((m, n), out_dtype))
  function = getattr(jax_deepgemm, f"bf16_gemm_{layout}")
  gemm = jax.jit(lambda *x: function(*x, out_dtype=out_dtype))
  return kernel_programs.lowered_for(gemm, *operands, device="NVIDIA H200")


def _launch(*args, **kwargs):
  (launch,) = kernel_programs.launches(_lowered(*args, **kwargs))
  return launch


def _maps(launch):
  names = ("a", "a_rest", "b", "a_block", "b_block", "d")
  params = [launch["params"][f"p{i:02}"] for i in range(len(names))]
  return dict(zip(names, params, strict=True))


def test_maps_describe_k_major_operands_of_an_odd_shape():
  maps = _maps(_launch("nt", 100, 200, 1001))
  # 15 whole blocks of K, and a map that ends where K does.
  assert maps["a"]["dims"] == [64, 100, 15, 1]
  assert maps["a"]["strides"] == [2016, 128, 201600]  # Rows of 16 bytes.
  assert maps["b"]["dims"] == [64, 200, 15, 1]
  assert maps["a_block"]["dims"] == [1001, 100, 1]
  assert maps["a_block"]["strides"] == [2016, 201600]
  assert maps["b_block"]["dims"] == [1001, 200, 1]
  assert maps["d"]["dims"] == [200, 100, 1]
  assert maps["a"]["dtype"] == maps["b"]["dtype"] == "bf16"


@pytest.mark.parametrize("m", [300, 4097, 4096])
def test_the_last_box_of_a_ends_where_a_does(m):
  maps = _maps(_launch("nt", m, 4096, 7168))
  rows = maps["a"]["box"][1]
  assert maps["a_rest"]["box"] == [64, m % rows or rows, 1]
  assert maps["a_rest"]["dims"] == [7168, m, 1]
  assert maps["a_rest"]["index"] == 0


def test_maps_describe_mn_major_operands_as_they_lie():
  maps = _maps(_launch("tn", 100, 203, 1001))
  assert maps["a"]["dims"] == [100, 1001, 1]
  assert maps["a"]["strides"] == [208, 208208]
  assert maps["b"]["dims"] == [203, 1001, 1]
  assert maps["b"]["strides"] == [416, 416416]
  assert maps["a"]["box"] == maps["b"]["box"] == [64, 64, 1]


@pytest.mark.parametrize("layout", ["nt", "nn", "tn", "tt"])
def test_no_operand_is_copied_or_transposed(layout):
  text = _lowered(layout, 256, 384, 512).as_text()
  assert "transpose" not in text
  assert "pad" not in text


def test_a_result_of_odd_width_has_padded_rows():
  maps = _maps(_launch("nt", 3, 130, 256))
  assert maps["d"]["dims"] == [136, 3, 1]
  assert maps["d"]["strides"] == [272, 816]
  maps = _maps(_launch("nt", 3, 130, 256, out_dtype=jnp.float32))
  assert maps["d"]["dims"] == [132, 3, 1]
  assert maps["d"]["dtype"] == "f32"


def test_c_is_aliased_to_the_result():
  text = _lowered("nt", 64, 128, 256, c=True).as_text()
  assert "operand_index = 2" in text
  launch = _launch("nt", 64, 128, 256, c=True)
  assert launch["params"]["p06"] == {"kind": "buffer", "index": 2}
  assert _maps(launch)["d"]["index"] == 3


@pytest.mark.parametrize("layout", ["nt", "nn", "tn", "tt"])
@pytest.mark.parametrize(
  "shape", [(300, 2112, 7168), (4096, 576, 7168), (4096, 16384, 7168)]
)
def test_boxes_are_what_tma_takes(layout, shape):
  for tensor in _maps(_launch(layout, *shape)).values():
    assert all(1 <= size <= 256 for size in tensor["box"])
    assert all(stride % 16 == 0 for stride in tensor["strides"])


def test_the_grid_holds_whole_clusters():
  launch = _launch("nt", 4096, 7168, 16384)
  size = launch["cluster"][0]
  assert launch["grid"][0] % size == 0
  assert launch["grid"][0] <= 132


def test_a_batch_is_one_launch_with_groups():
  a, b = (
    jax.ShapeDtypeStruct((5, rows, 128), jnp.bfloat16) for rows in (40, 64)
  )
  gemm = jax.jit(jax.vmap(jax_deepgemm.bf16_gemm_nt))
  lowered = kernel_programs.lowered_for(gemm, a, b, device="NVIDIA H200")
  (launch,) = kernel_programs.launches(lowered)
  assert _maps(launch)["a"]["dims"][-1] == 5


def test_gradients_are_launches_of_the_same_kernel():
  a, b = (jax.ShapeDtypeStruct((x, 128), jnp.bfloat16) for x in (40, 64))

  def f(a, b):
    return jax_deepgemm.bf16_gemm_nt(a, b).astype(jnp.float32).sum()

  gradient = jax.jit(jax.grad(f, (0, 1)))
  lowered = kernel_programs.lowered_for(gradient, a, b, device="NVIDIA H200")
  launches = kernel_programs.launches(lowered)
  assert {launch["kernel"] for launch in launches} == {"sm90_bf16_gemm"}
  assert len(launches) >= 2
  assert "stablehlo.transpose" not in lowered.as_text()


def test_every_configuration_is_printed_once(monkeypatch, capsys):
  environment = dataclasses.replace(ENVIRONMENT, print_configs=True)
  monkeypatch.setattr(print_config, "ENVIRONMENT", environment)
  for _ in range(2):
    _launch("nt", 77, 1234, 256)
  printed = capsys.readouterr().out
  assert printed.count("Bf16GemmProblem(m=77, n=1234, k=256") == 1
  assert "block_n=" in printed


def test_another_platform_has_no_kernel():
  a = jnp.ones((8, 8), jnp.bfloat16)
  with (
    jax_deepgemm.options(implementation="kernel"),
    pytest.raises(NotImplementedError, match="bf16_gemm has no kernel for cpu"),
  ):
    jax.jit(jax_deepgemm.bf16_gemm_nt).lower(a, a)


def test_other_gpus_get_the_reference():
  a = jax.ShapeDtypeStruct((8, 64), jnp.bfloat16)
  gemm = jax.jit(jax_deepgemm.bf16_gemm_nt)
  with jax_deepgemm.options(implementation="reference"):
    text = gemm.trace(a, a).lower(lowering_platforms=("cuda",)).as_text()
  assert "jax_deepgemm_launch" not in text
  assert "dot_general" in text
