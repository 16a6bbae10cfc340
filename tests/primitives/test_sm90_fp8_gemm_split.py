"""What the launch for few tiles says, read without a GPU."""

import pytest

import jax_deepgemm
from benchmarks import kernel_programs
from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.heuristics.sm90_fp8_gemm import Fp8GemmProblem
from jax_deepgemm.heuristics.sm90_fp8_gemm_split import legal_split_configs
from jax_deepgemm.primitives import sm90_fp8_gemm_split
from jax_deepgemm.primitives.memory_order import ROW_MAJOR, MemoryOrder
from tests.primitives.fp8_gemm_launch import launch, launcher, params_of

_NUMBERS = (
  "m",
  "rest_rows",
  "pitch",
  "num_k_blocks",
  "sfb_rows",
  "num_m",
  "num_n",
  "k_cut",
  "group_lines",
  "row_lines",
)
_MAPS = ("a", "a_rest", "b", "a_cut", "b_cut", "sfa")
_NAMES = (*_MAPS, "sfb", "c", "d", *_NUMBERS)
_TILE = {"num_math_warpgroups": 2, "block_n": 64}


@pytest.fixture
def split(monkeypatch):
  """Returns a launch with a configuration that has these fields."""
  return launcher(monkeypatch, legal_split_configs)


def _numbers(params):
  return {name: params[name]["value"] for name in _NUMBERS}


def _call(problem, memory=ROW_MAJOR, **fields):
  """Returns the launch of the first configuration that has these fields."""
  config = next(
    config
    for config in legal_split_configs(problem, H200)
    if all(getattr(config, name) == fields[name] for name in fields)
  )
  return sm90_fp8_gemm_split.kernel_call(
    problem, config, jax_deepgemm.Options(), memory
  )


def test_a_long_sum_of_a_few_tiles_is_split_in_a_cluster():
  found = launch(192, 576, 7936)
  assert found["kernel"] == "sm90_fp8_gemm_split"
  assert found["cluster"][0] > 1
  assert found["grid"][0] % found["cluster"][0] == 0


def test_batch_invariant_sums_are_not_split():
  found = launch(192, 576, 7936, batch_invariant=True)
  assert found["kernel"] == "sm90_fp8_gemm_split"
  assert found["cluster"][0] == 1


def test_weights_are_prefetched_where_kernels_overlap():
  for pdl in (False, True):
    config = kernel_programs.config_of(launch(192, 576, 7936, pdl=pdl))
    assert config["prefetch_weights"] is config["pdl"] is pdl


def test_maps_and_numbers_describe_an_odd_shape(split):
  fields = {**_TILE, "num_splits": 2, "stage_k_blocks": 1}
  params = params_of(split(200, 202, 1008, fields=fields), _NAMES)
  assert params["a"]["dims"] == [1008, 200, 1]
  assert params["a"]["strides"] == [1008, 200 * 1008]  # Rows of 16 bytes.
  assert params["a"]["box"] == params["a_cut"]["box"] == [128, 128, 1]
  assert params["a_rest"]["dims"] == [1008, 200, 1]
  assert params["a_rest"]["box"] == [128, 72, 1]
  assert params["b"]["dims"] == [1008, 202, 1]
  assert params["b"]["box"] == params["b_cut"]["box"] == [128, 64, 1]
  assert params["sfa"]["dims"] == [200, 8, 1]
  assert params["sfa"]["box"] == [128, 1, 1]
  assert _numbers(params) == {
    "m": 200,
    "rest_rows": 72,
    "pitch": 208,  # 16 bytes.
    "num_k_blocks": 8,
    "sfb_rows": 2,
    "num_m": 2,
    "num_n": 4,
    "k_cut": 7,
    "group_lines": 200,
    "row_lines": 1,
  }


def test_a_stage_of_several_blocks_is_one_box_except_for_the_rest(split):
  fields = {**_TILE, "stage_k_blocks": 4}
  params = params_of(split(130, 202, 1024, fields=fields), _NAMES)
  for name, rows, box_rows in (("a", 130, 128), ("b", 202, 64)):
    assert params[name]["dims"] == [128, rows, 8, 1]
    assert params[name]["strides"] == [1024, 128, rows * 1024]
    assert params[name]["box"] == [128, box_rows, 4, 1]
  assert params["a_rest"]["dims"] == [1024, 130, 1]
  assert params["a_rest"]["box"] == [128, 2, 1]
  assert params["sfa"]["box"] == [128, 4, 1]


@pytest.mark.parametrize(
  ("m", "rest"), [(33, 33), (64, 64), (65, 1), (128, 64), (130, 2)]
)
def test_the_rest_is_what_the_last_tile_has(split, m, rest):
  fields = {"num_math_warpgroups": 1}
  params = params_of(split(m, 202, 1024, fields=fields), _NAMES)
  assert params["a_rest"]["box"] == [128, rest, 1]
  numbers = _numbers(params)
  assert numbers["rest_rows"] == rest
  assert (numbers["num_m"] - 1) * 64 + rest == m


def test_c_is_the_memory_of_d(split):
  params = params_of(split(70, 200, 256, fields={}, c=True), _NAMES)
  assert params["c"]["index"] == 4
  assert params["d"]["index"] == 5


@pytest.mark.parametrize("m", [33, 128, 500])
def test_boxes_are_what_tma_takes(split, m):
  params = params_of(split(m, 2112, 7168, fields={}), _NAMES)
  for name in _MAPS:
    assert all(1 <= size <= 256 for size in params[name]["box"])
    assert all(stride % 16 == 0 for stride in params[name]["strides"])


def test_the_grid_covers_tiles_of_rows_and_columns_of_every_group():
  problem = Fp8GemmProblem(130, 200, 1024, num_groups=3)
  call = _call(problem, num_splits=4, **_TILE)
  assert call.grid == (2 * 4 * 3 * 4, 1, 1)
  assert call.cluster == (4, 1, 1)


def test_groups_between_rows_are_steps_of_lines():
  problem = Fp8GemmProblem(130, 200, 1024, num_groups=3)
  memory = MemoryOrder(True, True, True)
  *_, group_lines, row_lines = _call(problem, memory).params
  assert (group_lines.value, row_lines.value) == (1, 3)
  *_, group_lines, row_lines = _call(problem).params
  assert (group_lines.value, row_lines.value) == (130, 1)
