"""The paged MQA logits' benchmark: its cases, what it times and counts."""

import jax
import numpy as np
import pytest

from benchmarks import kernel_programs, paged_mqa_logits
from benchmarks.paged_mqa_logits import PagedCase
from jax_deepgemm.testing import Samples
from tests import paged_mqa_data

SMALL = PagedCase(6, 2, 8, 32, 90, 150, "float32", 0)


def test_the_cases_are_those_of_deepgemm_and_of_its_times():
  assert len(paged_mqa_logits.cases(all_of_them=True)) == 34
  known = paged_mqa_logits.cases(all_of_them=False)
  assert len(known) == len(paged_mqa_logits.baseline()) == 8
  for case in known:
    theirs = paged_mqa_logits.baseline()[case]
    assert theirs["us_median"] > 0.98 * case.floor_us
    # Bytes are counted alike, of other random contexts.
    counted = theirs["us_median"] * theirs["gbps"] * 1e3
    assert case.num_bytes == pytest.approx(counted, rel=0.04)


def test_contexts_are_around_their_mean_and_rows_end_one_after_the_other():
  assert np.all(np.diff(SMALL.lens, axis=1) == 1)
  assert SMALL.lens.min() >= 62
  assert SMALL.lens.max() < 117
  runs = SMALL._replace(next_n=1, most_tokens=3)
  first = runs.first_rows
  assert (runs.lens[:, 0] - runs.lens[first, 0]).tolist() == (
    np.arange(6) - first
  ).tolist()
  assert len(set(runs.indices)) < 6


@pytest.mark.parametrize("most_tokens", [0, 3])
def test_what_is_timed_are_the_logits(most_tokens):
  case = SMALL
  if most_tokens:
    case = case._replace(next_n=1, most_tokens=most_tokens)
  arrays = paged_mqa_logits.operands(case)
  found = np.asarray(paged_mqa_logits.program(case)(*arrays))
  given = paged_mqa_data.PagedOperands(*map(np.asarray, arrays))
  assert paged_mqa_data.wrong(found, given, 20, 0.0).size == 0


def test_a_sweep_lowers_each_of_its_configurations():
  case = SMALL._replace(h=64)
  arrays = jax.eval_shape(lambda: paged_mqa_logits.operands(case))
  sources = []
  configs = paged_mqa_logits.swept_configs(case)
  for config in configs:
    fn = paged_mqa_logits.program_with(config, case)
    lowered = kernel_programs.lowered_for(fn, *arrays, device="NVIDIA H200")
    (launch,) = kernel_programs.launches(lowered)
    sources.append(launch["source"])
  assert len(set(sources)) == len(configs) > 8


def test_a_row_counts_keys_once_for_each_sequence():
  case = paged_mqa_logits.cases(all_of_them=False)[0]
  names = ("bank_n", "max_banks", "num_math_warpgroups", "num_stages")
  config = dict.fromkeys((*names, "max_columns"), 1)
  row = paged_mqa_logits.row_of(case, Samples((100.0,)), config)
  wanted = 2 * int(case.lens.sum()) * case.h * case.d / 100e6
  assert row["tflops"] == pytest.approx(wanted, abs=0.01)
  theirs = paged_mqa_logits.baseline()[case]["gbps"]
  assert row["ratio"] == pytest.approx(case.num_bytes / 1e5 / theirs, abs=1e-3)
  assert "DeepGEMM" in paged_mqa_logits.line(row)
  once = SMALL._replace(next_n=1).num_bytes
  runs = SMALL._replace(next_n=1, most_tokens=6)
  assert runs.num_bytes < once
