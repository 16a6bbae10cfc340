"""The MQA logits of FP4 vectors compile clean in every form."""

import itertools

from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.heuristics.sm90_fp8_fp4_mqa_logits import (
  choose,
  legal_fp4_mqa_configs,
)
from jax_deepgemm.heuristics.sm90_fp8_mqa_logits import MqaLogitsProblem
from jax_deepgemm.mqa_arguments import HEAD_DIMS, NUM_HEADS
from jax_deepgemm.primitives.sm90_fp8_fp4_mqa_logits import recipe
from tests.jit.test_fp8_gemm_kernel import complaints


def _forms():
  """What is chosen, and the narrow form of the most heads."""
  dims = itertools.cycle(HEAD_DIMS)
  flags = itertools.cycle((False, True))
  for heads in NUM_HEADS:
    problem = MqaLogitsProblem(
      4096, 8192, heads, next(dims), 8192, float32_out=next(flags)
    )
    yield choose(problem, H200)
  # How many columns take a maximum changes no register.
  configs = legal_fp4_mqa_configs(problem, H200)
  yield next(c for c in configs if c.bank_n == 64 and c.max_columns == 2)


def test_no_form_spills_or_serialises(tmp_path):
  assert not complaints({recipe(config) for config in _forms()}, tmp_path)
