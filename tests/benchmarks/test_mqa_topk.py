"""The benchmark of mqa_topk: what it times, and what it counts."""

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import (
  kernel_programs,
  mqa_topk,
  paged_mqa_logits,
  paged_mqa_topk,
)
from benchmarks.mqa_topk import CASES, TopkCase
from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.heuristics.sm90_row_topk import (
  RowTopkProblem,
  legal_row_topk_configs,
)
from jax_deepgemm.testing import BenchResult, Samples

SMALL = TopkCase(8, 24, 8, 32, 5)


def test_what_is_timed_is_the_top_k_of_causal_logits():
  arrays = mqa_topk.operands(SMALL)
  values, indices = mqa_topk.topk(SMALL)(*arrays)
  found = mqa_topk.xla(SMALL)(*arrays)
  np.testing.assert_array_equal(values, found[0])
  np.testing.assert_array_equal(indices, found[1])
  assert arrays[-1].tolist() == list(range(17, 25))


def test_a_sweep_lowers_each_of_its_configurations():
  problem = RowTopkProblem(264, 65536, 2048)
  configs = list(legal_row_topk_configs(problem, H200))
  shapes = (
    jax.ShapeDtypeStruct((264, 65536), jnp.float32),
    *[jax.ShapeDtypeStruct((264,), jnp.int32)] * 2,
  )
  sources = set()
  for config in configs:
    fn = mqa_topk.selection_with(config, problem)
    lowered = kernel_programs.lowered_for(fn, *shapes, device="NVIDIA H200")
    (launch,) = kernel_programs.launches(lowered)
    sources.add(launch["source"])
  assert len(sources) == len(configs) > 8


def test_a_row_sums_over_chunks():
  # Two runs of three chunks.
  time = BenchResult(
    "profiler",
    Samples((95.0, 105.0)),
    {
      "sm90_fp8_mqa_logits": Samples((20.0,) * 6),
      "sm90_row_topk": Samples((5.0,) * 6),
      "fusion": Samples((1.0,) * 6),
    },
  )
  row = mqa_topk.row_of(CASES[0], time, 2)
  assert row["us"] == 100
  assert (row["logits_kernel_us"], row["selection_kernel_us"]) == (60, 15)
  assert row["logits_launches"] == row["selection_launches"] == 3
  text = mqa_topk.line(row | {"ratio": 1.25, "temp_mb": 70.0})
  assert "k  2048:    100.00 us" in text
  assert "ratio 1.25, temp_mb 70.0" in text


def test_the_benchmark_of_pages_times_the_top_k_of_its_logits():
  case = paged_mqa_topk.CASES[0]._replace(avg_kv=100, width=192, h=8, d=32)
  arrays = paged_mqa_logits.operands(case)
  topk, logits = paged_mqa_topk.programs(case)
  values, keys = map(np.asarray, topk(*arrays))
  (count,) = case.lens[0]
  wanted = jax.lax.top_k(logits(*arrays)[:, :count], int(count))
  np.testing.assert_array_equal(values[:, :count], wanted[0])
  np.testing.assert_array_equal(keys[:, :count], wanted[1])
  assert np.all(keys[:, count:] == -1)
  time = BenchResult(
    "profiler",
    Samples((40.0, 40.0)),
    {
      "sm90_fp8_paged_mqa_logits": Samples((20.0,) * 2),
      "sm90_row_topk": Samples((5.0,) * 4),
    },
  )
  row = mqa_topk.row_of(case, time, 2, "sm90_fp8_paged_mqa_logits")
  assert (row["logits_kernel_us"], row["selection_kernel_us"]) == (20, 10)
  assert "1 x 1,    100 keys:     40.00 us" in paged_mqa_topk.line(row)
