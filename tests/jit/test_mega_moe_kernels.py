"""Dispatch and combine compile clean in every form that can be chosen."""

import dataclasses
import re

import pytest

from jax_deepgemm.heuristics import (
  sm90_mega_moe_combine as combine,
)
from jax_deepgemm.heuristics import (
  sm90_mega_moe_dispatch as dispatch,
)
from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.heuristics.mega_moe_arena import MegaMoeArena
from jax_deepgemm.jit import headers
from jax_deepgemm.primitives import (
  sm90_mega_moe_combine,
  sm90_mega_moe_dispatch,
)
from tests import stand_in_experts
from tests.jit.test_fp8_gemm_kernel import complaints


def _recipes():
  for num_experts, top_k, mma_type in (
    (8, 1, "fp8xfp8"),
    (256, 8, "fp8xfp8"),
    (384, 6, "bf16xbf16"),
    (1024, 32, "fp8xfp8"),
  ):
    arena = MegaMoeArena(8, num_experts, 4096, top_k, 7168, 2048, mma_type)
    config = dispatch.choose(dispatch.MegaMoeDispatchProblem(4096, arena), H200)
    yield sm90_mega_moe_dispatch.recipe(config)
    config = combine.choose(combine.MegaMoeCombineProblem(4096, arena))
    yield sm90_mega_moe_combine.recipe(config)


def test_no_form_spills(tmp_path):
  recipes = set(_recipes())
  assert len(recipes) == 6
  recipes.add(stand_in_experts.recipe())
  assert not complaints(recipes, tmp_path)


@pytest.mark.parametrize(
  ("path", "config"),
  [
    (
      "kernels/sm90_mega_moe_dispatch_types.cuh",
      dispatch.Sm90MegaMoeDispatchConfig,
    ),
    (
      "kernels/sm90_mega_moe_combine_types.cuh",
      combine.Sm90MegaMoeCombineConfig,
    ),
  ],
)
def test_python_and_cuda_name_the_same_fields(path, config):
  text = headers()[path]
  body = text.split(f"struct {config.__name__} {{")[1].split("};")[0]
  fields = re.findall(r"^\s*(?:int|bool) (\w+);", body, re.MULTILINE)
  assert fields == [f.name for f in dataclasses.fields(config)]
