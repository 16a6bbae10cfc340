"""What the launch with swapped operands says, read without a GPU."""

import pytest

import jax_deepgemm
from benchmarks import kernel_programs
from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.heuristics.sm90_fp8_gemm_swapped import (
  legal_swapped_configs,
)
from jax_deepgemm.primitives import sm90_fp8_gemm
from tests.primitives.fp8_gemm_launch import launch, launcher, params_of

_NAMES = ("a", "b", "a_block", "b_block", "sfa", "sfb", "sfb_blocks", "c", "d")
_NUMBERS = ("m", "pitch", "num_k_blocks", "sfb_rows", "num_n", "k_cut")


def _params(found):
  return params_of(found, _NAMES + _NUMBERS)


@pytest.fixture
def swapped(monkeypatch):
  """Returns a launch with a configuration that has these fields."""
  return launcher(monkeypatch, legal_swapped_configs)


def test_a_long_sum_for_one_row_is_split_in_a_cluster():
  found = launch(1, 576, 7936)
  assert found["kernel"] == "sm90_fp8_gemm_swapped"
  assert found["cluster"][0] > 1
  assert found["grid"][0] % found["cluster"][0] == 0


def test_batch_invariant_sums_are_not_split():
  assert launch(1, 576, 7936, batch_invariant=True)["cluster"][0] == 1


def test_weights_are_prefetched_where_kernels_overlap():
  config = kernel_programs.config_of(launch(1, 576, 7936, pdl=True))
  assert config["prefetch_weights"] is True
  assert config["pdl"] is True
  config = kernel_programs.config_of(launch(1, 576, 7936))
  assert config["prefetch_weights"] is False


def test_maps_and_numbers_describe_an_odd_shape(swapped):
  params = _params(swapped(3, 202, 1008, fields={"num_splits": 2}))
  assert params["a"]["dims"] == [1008, 3, 1]
  assert params["a"]["strides"] == [1008, 3024]  # Rows of 16 bytes.
  assert params["a"]["box"] == [128, 3, 1]
  assert params["b"]["dims"] == [1008, 202, 1]
  assert params["b"]["box"] == [128, 64, 1]
  assert params["sfa"]["dims"] == [4, 8, 1]
  numbers = [params[name]["value"] for name in _NUMBERS]
  assert numbers == [3, 208, 8, 2, 4, 7]  # A pitch of 16 bytes.


def test_a_stage_of_several_blocks_is_one_box(swapped):
  params = _params(swapped(8, 202, 1024, fields={"stage_k_blocks": 4}))
  assert params["b"]["dims"] == [128, 202, 8, 1]
  assert params["b"]["strides"] == [1024, 128, 202 * 1024]
  assert params["b"]["box"] == [128, 64, 4, 1]
  assert params["a"]["box"] == [128, 8, 4, 1]
  assert params["sfa"]["box"] == [8, 4, 1]


@pytest.mark.parametrize("m", [1, 5, 65])
def test_a_k_block_of_few_rows_is_a_box_that_ends_with_them(swapped, m):
  params = _params(swapped(m, 202, 1024, fields={"stage_k_blocks": 2}))
  assert params["a_block"]["dims"] == [1024, m, 1]
  assert params["a_block"]["box"] == [128, m, 1]


def test_scales_per_row_of_b_have_a_map(swapped):
  found = swapped(3, 202, 256, fields={}, recipe=(1, 1, 128))
  assert _params(found)["sfb"]["dims"] == [204, 2, 1]


def test_c_is_the_memory_of_d(swapped):
  found = swapped(3, 200, 256, fields={}, c=True)
  params = _params(found)
  assert params["c"]["index"] == 4
  assert params["d"]["index"] == 5


@pytest.mark.parametrize("m", [1, 17, 128])
def test_boxes_are_what_tma_takes(swapped, m):
  params = _params(swapped(m, 4096, 7168, fields={}))
  for name in ("a", "b", "sfa"):
    assert all(1 <= size <= 256 for size in params[name]["box"])
    assert all(stride % 16 == 0 for stride in params[name]["strides"])


def test_the_grid_covers_every_group():
  problem = sm90_fp8_gemm.Fp8GemmProblem(1, 130, 1024, num_groups=3)
  config = next(
    c for c in legal_swapped_configs(problem, H200) if c.num_splits == 4
  )
  call = sm90_fp8_gemm.sm90_fp8_gemm_swapped.kernel_call(
    problem, config, jax_deepgemm.Options()
  )
  assert call.grid == (3 * 3 * 4, 1, 1)
  assert call.cluster == (4, 1, 1)
