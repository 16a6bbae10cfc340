"""What the launch with swapped operands says, read without a GPU."""

import functools

import jax
import jax.numpy as jnp
import pytest

import jax_deepgemm
from benchmarks import kernel_programs
from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.heuristics.sm90_fp8_gemm_swapped import (
  legal_swapped_configs,
)
from jax_deepgemm.primitives import sm90_fp8_gemm

_NAMES = ("a", "b", "a_block", "b_block", "sfa", "sfb", "sfb_blocks", "c", "d")
_NUMBERS = ("m", "pitch", "num_k_blocks", "sfb_rows", "num_n", "k_cut")


def _launch(m, n, k, *, c=False, recipe=None, **options):
  rows = n if recipe == (1, 1, 128) else -(-n // 128)
  fp8, f32 = jnp.float8_e4m3fn, jnp.float32
  blocks = -(-k // 128)
  a = (
    jax.ShapeDtypeStruct((m, k), fp8),
    jax.ShapeDtypeStruct((m, blocks), f32),
  )
  b = (
    jax.ShapeDtypeStruct((n, k), fp8),
    jax.ShapeDtypeStruct((rows, blocks), f32),
  )
  operands = [a, b]
  if c:
    operands.append(jax.ShapeDtypeStruct((m, n), jnp.bfloat16))
  gemm = functools.partial(jax_deepgemm.fp8_gemm_nt, recipe=recipe)
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
    monkeypatch.setattr(sm90_fp8_gemm, "choose", choice)
    return _launch(*shape, **kwargs)

  return launch


def test_a_long_sum_for_one_row_is_split_in_a_cluster():
  launch = _launch(1, 576, 7936)
  assert launch["kernel"] == "sm90_fp8_gemm_swapped"
  assert launch["cluster"][0] > 1
  assert launch["grid"][0] % launch["cluster"][0] == 0


def test_batch_invariant_sums_are_not_split():
  assert _launch(1, 576, 7936, batch_invariant=True)["cluster"][0] == 1


def test_weights_are_prefetched_where_kernels_overlap():
  config = kernel_programs.config_of(_launch(1, 576, 7936, pdl=True))
  assert config["prefetch_weights"] is True
  assert config["pdl"] is True
  config = kernel_programs.config_of(_launch(1, 576, 7936))
  assert config["prefetch_weights"] is False


def test_maps_and_numbers_describe_an_odd_shape(swapped):
  params = _params(swapped(3, 202, 1008, fields={"num_splits": 2}))
  assert params["a"]["dims"] == [1008, 3, 1]
  assert params["a"]["strides"] == [1008, 3024]  # Rows of 16 bytes.
  assert params["a"]["box"] == [128, 8, 1]
  assert params["b"]["dims"] == [1008, 202, 1]
  assert params["b"]["box"] == [128, 64, 1]
  assert params["sfa"]["dims"] == [4, 8, 1]
  numbers = [params[name]["value"] for name in _NUMBERS]
  assert numbers == [3, 208, 8, 2, 4, 7]  # A pitch of 16 bytes.


def test_a_stage_of_several_blocks_is_one_box(swapped):
  params = _params(swapped(3, 202, 1024, fields={"stage_k_blocks": 4}))
  assert params["b"]["dims"] == [128, 202, 8, 1]
  assert params["b"]["strides"] == [1024, 128, 202 * 1024]
  assert params["b"]["box"] == [128, 64, 4, 1]
  assert params["sfa"]["box"] == [8, 4, 1]


def test_scales_per_row_of_b_have_a_map(swapped):
  launch = swapped(3, 202, 256, fields={}, recipe=(1, 1, 128))
  assert _params(launch)["sfb"]["dims"] == [204, 2, 1]


def test_c_is_the_memory_of_d(swapped):
  launch = swapped(3, 200, 256, fields={}, c=True)
  params = _params(launch)
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
