"""The paged MQA logits of FP4 vectors compile clean in every form."""

import dataclasses
import re

from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.heuristics.sm90_fp8_fp4_paged_mqa_logits import (
  Sm90Fp8Fp4PagedMqaLogitsConfig,
  legal_fp4_paged_mqa_configs,
)
from jax_deepgemm.heuristics.sm90_fp8_paged_mqa_logits import PagedMqaProblem
from jax_deepgemm.jit import headers
from jax_deepgemm.primitives.sm90_fp8_fp4_paged_mqa_logits import recipe
from tests.jit.test_fp8_gemm_kernel import complaints

# Rows of a sequence, heads, dimension, keys of a page, indices, float32.
_FORMS = (
  (8, 16, 128, 64, False, True),
  (16, 8, 32, 32, False, True),
  (1, 64, 64, 64, True, False),
)


def _configs():
  for next_n, heads, dim, block_kv, is_varlen, float32_out in _FORMS:
    problem = PagedMqaProblem(
      256, next_n, heads, dim, block_kv, 999, 99, 999, is_varlen, float32_out
    )
    for config in legal_fp4_paged_mqa_configs(problem, H200):
      # How many columns take a maximum changes no register, and fewer warps
      # that decode leave more of them to each thread.
      if config.max_columns == 0 and config.num_decode_warps == 8:
        yield config


def test_no_form_spills_or_serialises(tmp_path):
  recipes = {recipe(config) for config in _configs()}
  assert len(recipes) >= 4
  assert not complaints(recipes, tmp_path)


def test_python_and_cuda_name_the_same_fields():
  text = headers()["kernels/sm90_fp8_fp4_paged_mqa_logits_types.cuh"]
  body = text.split("struct Sm90Fp8Fp4PagedMqaLogitsConfig {")[1]
  body = body.split("constexpr")[0]
  fields = re.findall(r"^\s*(?:int|bool) (\w+);", body, re.MULTILINE)
  names = [f.name for f in dataclasses.fields(Sm90Fp8Fp4PagedMqaLogitsConfig)]
  assert fields == names
