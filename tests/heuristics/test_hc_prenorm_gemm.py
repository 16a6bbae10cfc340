"""Configurations of the product with sums of squares."""

import pytest

from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.heuristics.hc_prenorm_gemm import choose, estimate_seconds
from jax_deepgemm.heuristics.sm90_hc_prenorm_gemm import (
  HcPrenormProblem,
  legal_configs,
  num_clusters,
)

SIZES = [
  (m, n, k)
  for m in (1, 13, 137, 4096, 8192, 100_000)
  for n in (1, 24, 33)
  for k in (1, 7168, 28672)
]


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_legal_configurations_fit_the_device(size):
  problem = HcPrenormProblem(*size)
  configs = list(legal_configs(problem, H200))
  assert choose(problem, H200) in configs
  for config in configs:
    room = (H200.smem_bytes + 1024) // config.ctas_per_sm - 1024
    assert config.smem_bytes <= room
    assert config.num_threads * config.ctas_per_sm <= 1024
    assert config.exchange_bytes <= config.num_stages * config.stage_bytes
    # A cluster lies within a part of the GPU; the smallest has 8 SMs and more.
    assert config.num_splits <= 8 * config.ctas_per_sm


@pytest.mark.parametrize("m", [4096, 8192])
@pytest.mark.parametrize("k", [7168, 7680, 28672])
def test_many_rows_are_read_once_in_one_wave(m, k):
  problem = HcPrenormProblem(m, 24, k)
  config = choose(problem, H200)
  assert config.block_n == 24
  assert config.evict_first
  ctas = num_clusters(problem, config) * config.num_splits
  assert 0.9 * H200.num_sms < ctas <= H200.num_sms * config.ctas_per_sm
  floor = m * k * 2 / H200.memory_bandwidth
  # With an empty launch, the first data and the last sums.
  assert estimate_seconds(problem, config, H200) < 1.15 * (floor + 5e-6)


@pytest.mark.parametrize("m", [1, 13, 137])
def test_few_rows_share_k_out(m):
  config = choose(HcPrenormProblem(m, 24, 28672), H200)
  assert config.num_splits >= 8


def test_batch_invariant_sums_have_one_order():
  splits = {
    choose(HcPrenormProblem(*size), H200, batch_invariant=True).num_splits
    for size in SIZES
  }
  assert len(splits) == 1


def test_tiles_are_multiples_of_what_was_asked():
  problem = HcPrenormProblem(13, 24, 7168)
  config = choose(problem, H200, block_size_multiple_of=(128, 16))
  assert (config.block_m, config.block_n) == (128, 16)
  with pytest.raises(ValueError, match="no configuration fits"):
    choose(problem, H200, block_size_multiple_of=(96, 1))
