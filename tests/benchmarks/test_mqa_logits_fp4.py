"""The benchmark of the FP4 MQA logits: what it times and prints."""

import jax
import numpy as np

from benchmarks import kernel_programs, mqa_logits_fp4
from benchmarks.mqa_logits import MqaCase
from jax_deepgemm.testing import Samples
from tests import mqa_data, mqa_fp4_data

SMALL = MqaCase(8, 24, 8, 64, "float32", compressed=False, cp=True)


def test_its_cases_have_vectors_of_fp4():
  found = mqa_logits_fp4.cases(mqa_logits_fp4._parser().parse_args([]))
  assert {case.d for case in found} == {64, 128}
  parsed = mqa_logits_fp4._parser().parse_args(["--only-d", "64", "--all"])
  assert {case.d for case in mqa_logits_fp4.cases(parsed)} == {64}


def test_what_is_timed_are_the_logits():
  q, kv, *others = mqa_logits_fp4.operands(SMALL)
  found = np.asarray(mqa_logits_fp4.program(SMALL)(q, kv, *others))
  arrays = map(np.asarray, (*q, *kv, *others))
  exact, magnitude = mqa_fp4_data.logits(*arrays, fill=SMALL.form.fill)
  assert mqa_data.wrong(found, exact, magnitude, 20).size == 0


def test_a_sweep_lowers_each_of_its_configurations():
  shapes = jax.eval_shape(lambda: mqa_logits_fp4.operands(SMALL))
  configs = list(
    mqa_logits_fp4.legal_fp4_mqa_configs(SMALL.problem, mqa_logits_fp4.H200)
  )
  sources = set()
  for config in configs:
    fn = mqa_logits_fp4.program_with(config, SMALL)
    lowered = kernel_programs.lowered_for(fn, *shapes, device="NVIDIA H200")
    (launch,) = kernel_programs.launches(lowered)
    sources.add(launch["source"])
  assert len(sources) == len(configs) > 1


def test_a_line_names_both_times():
  case = MqaCase(2048, 8192, 64, 128, "float32", compressed=False, cp=False)
  config = {"bank_n": 128, "num_math_warpgroups": 2, "max_columns": 0}
  row = mqa_logits_fp4.mqa_logits.row_of(case, Samples((240.0,)), config)
  row.pop("ratio")
  text = mqa_logits_fp4.line(row | {"fp8_us": 200.0})
  assert "FP8 200.00 us, 1.200; DeepGEMM's FP8 222 us" in text
