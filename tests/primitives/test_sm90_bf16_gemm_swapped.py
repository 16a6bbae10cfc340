"""What the BF16 launch with swapped operands says, read without a GPU."""

import functools

import jax
import jax.numpy as jnp
import pytest

import jax_deepgemm
from benchmarks import kernel_programs
from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.heuristics.sm90_bf16_gemm import Bf16GemmProblem
from jax_deepgemm.heuristics.sm90_bf16_gemm_swapped import (
  legal_swapped_configs,
)
from jax_deepgemm.primitives import sm90_bf16_gemm, sm90_bf16_gemm_swapped

_NAMES = ("a", "b", "a_block", "b_block", "c", "d")
_NUMBERS = ("m", "pitch", "num_k_blocks", "num_n", "k_cut")


def _launch(layout, m, n, k, *, c=False, **options):
  shapes = [
    (k, m) if layout[0] == "t" else (m, k),
    (k, n) if layout[1] == "n" else (n, k),
  ]
  shapes += [(m, n)] * c
  operands = [jax.ShapeDtypeStruct(shape, jnp.bfloat16) for shape in shapes]
  gemm = getattr(jax_deepgemm, f"bf16_gemm_{layout}")
  with jax_deepgemm.options(**options):
    lowered = kernel_programs.lowered_for(
      jax.jit(gemm), *operands, device="NVIDIA H200"
    )
  (launch,) = kernel_programs.launches(lowered)
  return launch


def _params(launch):
  return {
    name: launch["params"][f"p{i:02}"]
    for i, name in enumerate(_NAMES + _NUMBERS)
  }


@pytest.fixture
def swapped(monkeypatch):
  """Returns a launch with a configuration that has these fields."""

  def choose(problem, device, *, fields, prefetch_weights, **kwargs):
    del kwargs
    configs = legal_swapped_configs(
      problem, device, prefetch_weights=prefetch_weights
    )
    return next(
      config
      for config in configs
      if all(getattr(config, name) == fields[name] for name in fields)
    )

  def launch(*shape, fields, **kwargs):
    choice = functools.partial(choose, fields=fields)
    monkeypatch.setattr(sm90_bf16_gemm, "choose", choice)
    return _launch(*shape, **kwargs)

  return launch


@pytest.mark.parametrize("layout", ["nt", "nn"])
def test_a_long_sum_for_one_row_is_split_in_a_cluster(layout):
  launch = _launch(layout, 1, 576, 7936)
  assert launch["kernel"] == "sm90_bf16_gemm_swapped"
  assert launch["cluster"][0] > 1
  assert launch["grid"][0] % launch["cluster"][0] == 0


def test_batch_invariant_sums_are_not_split():
  config = kernel_programs.config_of(
    _launch("nt", 1, 576, 7936, batch_invariant=True)
  )
  assert config.get("num_splits", 1) == 1


def test_weights_are_prefetched_where_kernels_overlap():
  config = kernel_programs.config_of(_launch("nt", 1, 576, 7936, pdl=True))
  assert config["prefetch_weights"] is True
  assert config["pdl"] is True
  config = kernel_programs.config_of(_launch("nt", 1, 576, 7936))
  assert config["prefetch_weights"] is False


def test_maps_and_numbers_describe_an_odd_shape(swapped):
  params = _params(swapped("nt", 3, 202, 1001, fields={"num_splits": 2}))
  assert params["a"]["dims"] == [1001, 3, 1]
  assert params["a"]["strides"] == [2016, 6048]  # Rows of 16 bytes.
  assert params["a"]["box"] == [64, 3, 1]
  assert params["b"]["dims"] == [1001, 202, 1]
  assert params["b"]["box"] == [64, 64, 1]
  numbers = [params[name]["value"] for name in _NUMBERS]
  assert numbers == [3, 208, 16, 4, 15]  # A pitch of 16 bytes.


def test_a_stage_of_several_blocks_is_one_box(swapped):
  params = _params(swapped("nt", 8, 202, 1024, fields={"stage_k_blocks": 8}))
  assert params["b"]["dims"] == [64, 202, 16, 1]
  assert params["b"]["strides"] == [2048, 128, 202 * 2048]
  assert params["b"]["box"] == [64, 64, 8, 1]
  assert params["a"]["box"] == [64, 8, 8, 1]


@pytest.mark.parametrize("m", [1, 5, 129])
def test_a_k_block_of_few_rows_is_a_box_that_ends_with_them(swapped, m):
  params = _params(swapped("nt", m, 202, 1024, fields={"stage_k_blocks": 2}))
  assert params["a_block"]["dims"] == [1024, m, 1]
  assert params["a_block"]["box"] == [64, m, 1]


def test_a_stage_of_b_along_n_is_one_box_for_64_columns(swapped):
  params = _params(swapped("tn", 3, 202, 1024, fields={"stage_k_blocks": 4}))
  assert params["b"]["dims"] == [202, 1024, 1]
  assert params["b"]["box"] == [64, 256, 1]
  assert params["a"]["dims"] == [3, 1024, 1]
  assert params["a"]["strides"] == [16, 16384]
  assert params["a"]["box"] == [64, 64, 1]


@pytest.mark.parametrize("c", [False, True])
def test_c_is_the_memory_of_d(swapped, c):
  params = _params(swapped("nt", 3, 200, 256, fields={}, c=c))
  assert params["c"]["index"] == (2 if c else 0)
  assert params["d"]["index"] == (3 if c else 2)


@pytest.mark.parametrize("layout", ["nt", "nn", "tn", "tt"])
@pytest.mark.parametrize("m", [1, 17, 128, 200])
def test_boxes_are_what_tma_takes(swapped, layout, m):
  params = _params(swapped(layout, m, 4096, 7168, fields={}))
  for name in ("a", "b"):
    assert all(1 <= size <= 256 for size in params[name]["box"])
    assert all(stride % 16 == 0 for stride in params[name]["strides"])


def test_the_grid_covers_every_group():
  problem = Bf16GemmProblem(1, 130, 1024, num_groups=3)
  config = next(
    c for c in legal_swapped_configs(problem, H200) if c.num_splits == 4
  )
  call = sm90_bf16_gemm_swapped.kernel_call(
    problem, config, jax_deepgemm.Options()
  )
  assert call.grid == (3 * 3 * 4, 1, 1)
  assert call.cluster == (4, 1, 1)
