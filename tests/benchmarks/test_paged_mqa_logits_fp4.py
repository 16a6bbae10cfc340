"""The benchmark of the FP4 paged MQA logits: what it times and prints."""

import jax
import numpy as np
import pytest

from benchmarks import kernel_programs, paged_mqa_logits_fp4
from benchmarks.paged_mqa_logits_fp4 import Fp4PagedCase
from jax_deepgemm.testing import Samples
from tests import paged_mqa_data
from tests.paged_mqa_fp4_data import Fp4PagedOperands

SMALL = Fp4PagedCase(6, 2, 8, 64, 90, 150, "float32", 0)


def cases(*arguments):
  parsed = paged_mqa_logits_fp4._parser().parse_args(arguments)
  return paged_mqa_logits_fp4.cases(parsed)


def test_its_cases_may_have_other_vectors():
  assert {case.d for case in cases("--all")} == {128}
  found = cases("--d", "64", "--only-h", "32")
  assert {(case.d, case.h) for case in found} == {(64, 32)}
  # Halves of keys, whole logits.
  case = found[0]
  fp8 = paged_mqa_logits_fp4.PagedCase(*case)
  assert 0.5 * fp8.num_bytes < case.num_bytes < 0.65 * fp8.num_bytes


@pytest.mark.parametrize("most_tokens", [0, 3])
def test_what_is_timed_are_the_logits(most_tokens):
  case = SMALL
  if most_tokens:
    case = case._replace(next_n=1, most_tokens=most_tokens)
  q, *others = paged_mqa_logits_fp4.operands(case)
  found = np.asarray(paged_mqa_logits_fp4.program(case)(q, *others))
  given = Fp4PagedOperands(
    *map(np.asarray, (q[0], *others)), q_scales=np.asarray(q[1])
  )
  assert paged_mqa_data.wrong(found, given, 20, 0.0).size == 0


def test_a_sweep_lowers_each_of_its_configurations():
  case = SMALL._replace(h=64)
  arrays = jax.eval_shape(lambda: paged_mqa_logits_fp4.operands(case))
  sources = set()
  configs = paged_mqa_logits_fp4.swept_configs(case)
  for config in configs:
    fn = paged_mqa_logits_fp4.program_with(config, case)
    lowered = kernel_programs.lowered_for(fn, *arrays, device="NVIDIA H200")
    (launch,) = kernel_programs.launches(lowered)
    sources.add(launch["source"])
    assert kernel_programs.config_of(launch)["num_decode_warps"] in (4, 8)
  assert len(sources) == len(configs) > 8


def test_a_line_names_both_times():
  case = cases()[0]
  names = ("bank_n", "max_banks", "num_math_warpgroups", "num_stages")
  names += ("max_columns", "num_packed_stages", "num_decode_warps")
  row = paged_mqa_logits_fp4.paged_mqa_logits.row_of(
    case, Samples((100.0,)), dict.fromkeys(names, 8)
  )
  text = paged_mqa_logits_fp4.line(row | {"fp8_us": 200.0})
  assert "8 packed stages, 8 decode; FP8 200.00 us, 0.500" in text
