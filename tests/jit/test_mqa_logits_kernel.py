"""The MQA logits compile clean in every form that can be chosen."""

import dataclasses
import itertools
import re

from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.heuristics.sm90_fp8_mqa_logits import (
  MqaLogitsProblem,
  Sm90Fp8MqaLogitsConfig,
  choose,
  legal_mqa_configs,
)
from jax_deepgemm.jit import headers
from jax_deepgemm.mqa_arguments import HEAD_DIMS, NUM_HEADS
from jax_deepgemm.primitives.sm90_fp8_mqa_logits import recipe
from tests.jit.test_fp8_gemm_kernel import complaints


def _forms():
  """What is chosen, and every form of the most and the fewest sums."""
  dims = itertools.cycle(HEAD_DIMS)
  flags = itertools.cycle((False, True))
  for heads in NUM_HEADS:
    problem = MqaLogitsProblem(
      4096, 8192, heads, next(dims), 8192, float32_out=next(flags)
    )
    configs = list(legal_mqa_configs(problem, H200))
    yield choose(problem, H200)
    if heads in (NUM_HEADS[0], NUM_HEADS[-1]):
      # How many columns take a maximum changes no register.
      yield from (c for c in configs if c.max_columns == 2)


def test_no_form_spills_or_serialises(tmp_path):
  assert not complaints({recipe(config) for config in _forms()}, tmp_path)


def test_python_and_cuda_name_the_same_fields():
  text = headers()["kernels/sm90_fp8_mqa_logits_types.cuh"]
  body = text.split("struct Sm90Fp8MqaLogitsConfig {")[1].split("constexpr")[0]
  fields = re.findall(r"^\s*(?:int|bool) (\w+);", body, re.MULTILINE)
  names = [f.name for f in dataclasses.fields(Sm90Fp8MqaLogitsConfig)]
  assert fields == names
