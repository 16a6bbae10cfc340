"""The MQA logits' benchmark: its cases, what it times, and what it counts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import kernel_programs, mqa_logits
from benchmarks.mqa_logits import MqaCase
from jax_deepgemm.testing import Samples
from tests import mqa_data

SMALL = MqaCase(8, 24, 8, 32, "float32", compressed=False, cp=True)


def shapes(case):
  arrays = jax.eval_shape(lambda: mqa_logits.operands(case))
  return arrays


def test_the_cases_are_those_of_deepgemm_and_of_its_times():
  assert len(mqa_logits.cases(all_of_them=True)) > 200
  known = mqa_logits.cases(all_of_them=False)
  assert len(known) == len(mqa_logits.baseline()) == 8
  assert all(mqa_logits.baseline()[case] > case.floor_us for case in known)


def test_rows_end_where_those_of_deepgemm_do():
  plain = SMALL._replace(cp=False)
  assert plain.ends.tolist() == list(range(16, 24))
  # Three devices; the second has chunks 1 and 4 of 6.
  assert SMALL.ends.tolist() == [4, 5, 6, 7, 16, 17, 18, 19]


@pytest.mark.parametrize("compressed", [False, True])
def test_what_is_timed_are_the_logits(compressed):
  case = SMALL._replace(compressed=compressed)
  q, kv, *others = mqa_logits.operands(case)
  found = np.asarray(mqa_logits.program(case)(q, kv, *others))
  exact, magnitude = mqa_data.logits(
    *(np.asarray(x) for x in (q, *kv, *others)),
    max_seqlen_k=case.max_seqlen_k,
    fill=case.form.fill,
  )
  assert mqa_data.wrong(found, exact, magnitude, 20).size == 0


def test_a_sweep_lowers_each_of_its_configurations():
  case = mqa_logits.cases(all_of_them=False)[0]
  q, kv, *others = shapes(case)
  sources = []
  configs = list(mqa_logits.legal_mqa_configs(case.problem, mqa_logits.H200))
  for config in configs:
    fn = mqa_logits.program_with(config, case)
    lowered = kernel_programs.lowered_for(
      fn, q, kv, *others, device="NVIDIA H200"
    )
    (launch,) = kernel_programs.launches(lowered)
    sources.append(launch["source"])
  assert len(set(sources)) == len(configs) > 4


def test_a_row_counts_keys_in_ranges():
  case = mqa_logits.cases(all_of_them=False)[0]
  launch = {"bank_n": 128, "num_math_warpgroups": 2, "max_columns": 1}
  row = mqa_logits.row_of(case, Samples((100.0,)), launch)
  wanted = 2 * int(case.ends.sum()) * case.h * case.d / 100e6
  assert row["tflops"] == pytest.approx(wanted, abs=0.01)
  assert row["ratio"] == pytest.approx(mqa_logits.baseline()[case] / 100)
  assert "DeepGEMM" in mqa_logits.line(row)
  assert case.form.out_dtype in (jnp.float32, jnp.bfloat16)
