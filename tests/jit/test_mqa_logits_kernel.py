"""The MQA logits compile clean in every form that can be chosen."""

import dataclasses
import itertools
import re

from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.heuristics.sm90_fp8_mqa_logits import (
  MqaLogitsProblem,
  Sm90Fp8MqaLogitsConfig,
  legal_mqa_configs,
)
from jax_deepgemm.jit import headers
from jax_deepgemm.mqa_arguments import HEAD_DIMS, NUM_HEADS
from jax_deepgemm.primitives.sm90_fp8_mqa_logits import recipe
from tests.jit.test_fp8_gemm_kernel import complaints


def _legal():
  """Every form of the sums; the head dimension changes no register."""
  dims = itertools.cycle(HEAD_DIMS)
  for heads, float32_out in itertools.product(NUM_HEADS, (False, True)):
    problem = MqaLogitsProblem(
      4096, 8192, heads, next(dims), 8192, float32_out=float32_out
    )
    yield from legal_mqa_configs(problem, H200)


def test_no_form_spills_or_serialises(tmp_path):
  assert not complaints({recipe(config) for config in _legal()}, tmp_path)


def test_python_and_cuda_name_the_same_fields():
  text = headers()["kernels/sm90_fp8_mqa_logits_types.cuh"]
  body = text.split("struct Sm90Fp8MqaLogitsConfig {")[1].split("constexpr")[0]
  fields = re.findall(r"^\s*(?:int|bool) (\w+);", body, re.MULTILINE)
  names = [f.name for f in dataclasses.fields(Sm90Fp8MqaLogitsConfig)]
  assert fields == names
