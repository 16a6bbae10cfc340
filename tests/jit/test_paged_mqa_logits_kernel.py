"""The paged MQA logits compile clean in forms of the most registers."""

import dataclasses
import re

from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.heuristics.sm90_fp8_paged_mqa_logits import (
  PagedMqaProblem,
  Sm90Fp8PagedMqaLogitsConfig,
  legal_paged_mqa_configs,
)
from jax_deepgemm.jit import headers
from jax_deepgemm.primitives.sm90_fp8_paged_mqa_logits import recipe
from tests.jit.test_fp8_gemm_kernel import complaints

# Rows of a sequence, heads, dimension, keys of a page, indices, float32.
_FORMS = (
  (2, 64, 128, 64, False, False),
  (16, 8, 32, 32, False, True),
  (1, 64, 64, 64, True, True),
)


def _configs():
  for next_n, heads, dim, block_kv, is_varlen, float32_out in _FORMS:
    problem = PagedMqaProblem(
      256, next_n, heads, dim, block_kv, 999, 99, 999, is_varlen, float32_out
    )
    for config in legal_paged_mqa_configs(problem, H200):
      # How many columns take a maximum changes no register.
      if config.max_columns == 0:
        yield config


def test_no_form_spills_or_serialises(tmp_path):
  recipes = {recipe(config) for config in _configs()}
  assert len(recipes) >= 9
  assert not complaints(recipes, tmp_path)


def test_python_and_cuda_name_the_same_fields():
  text = headers()["kernels/sm90_fp8_paged_mqa_logits_types.cuh"]
  body = text.split("struct Sm90Fp8PagedMqaLogitsConfig {")[1]
  body = body.split("constexpr")[0]
  fields = re.findall(r"^\s*(?:int|bool) (\w+);", body, re.MULTILINE)
  names = [f.name for f in dataclasses.fields(Sm90Fp8PagedMqaLogitsConfig)]
  assert fields == names
