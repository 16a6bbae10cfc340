"""The FP8 GEMMs with FP4 weights compile clean in every form."""

import dataclasses
import itertools
import random
import re

import pytest

from benchmarks import results
from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.heuristics.fp8_fp4_gemm import choose
from jax_deepgemm.heuristics.sm90_fp8_fp4_gemm import (
  Fp8Fp4GemmProblem,
  legal_configs,
)
from jax_deepgemm.heuristics.sm90_fp8_fp4_gemm_swapped import (
  Sm90Fp8Fp4GemmSwappedConfig,
  legal_swapped_configs,
)
from jax_deepgemm.jit import headers
from jax_deepgemm.primitives import (
  sm90_fp8_fp4_gemm,
  sm90_fp8_fp4_gemm_swapped,
)
from tests.jit.test_fp8_gemm_kernel import complaints

NUM_SAMPLED = 12


def _chosen():
  """What the cases of the benchmark run."""
  for m, n, k in results.dense_cases():
    yield choose(Fp8Fp4GemmProblem(m, n, k), H200)


def _sampled():
  """Of each tile and output one, wide stores included."""
  unique = {}
  for m, float32_out, with_c in itertools.product(
    (40, 5000), (False, True), (False, True)
  ):
    problem = Fp8Fp4GemmProblem(m, 4096, 4096, 1, float32_out, with_c)
    for config in legal_configs(problem, H200):
      unique[dataclasses.replace(config, num_stages=3)] = config
  configs = sorted(unique.values(), key=str)
  largest = [c for c in configs if c.num_slabs == 2 and c.block_n == 128]
  return random.Random(0).sample(largest, 4) + random.Random(1).sample(
    configs, NUM_SAMPLED
  )


def _sampled_swapped():
  """Of each width the form with the most registers, and others."""
  unique = {}
  for m, with_c in itertools.product(
    (8, 16, 24, 32, 48, 64, 96, 128), (False, True)
  ):
    problem = Fp8Fp4GemmProblem(m, 4096, 65536, 1, False, with_c)
    for config in legal_swapped_configs(problem, H200, prefetch_weights=True):
      unique[dataclasses.replace(config, num_stages=2)] = config
  configs = sorted(unique.values(), key=str)
  widest = {config.block_m: config for config in configs}
  return [*widest.values(), *random.Random(0).sample(configs, NUM_SAMPLED)]


def _recipe(config):
  if isinstance(config, Sm90Fp8Fp4GemmSwappedConfig):
    return sm90_fp8_fp4_gemm_swapped.recipe(config)
  return sm90_fp8_fp4_gemm.recipe(config)


@pytest.mark.parametrize("configs", [_chosen, _sampled, _sampled_swapped])
def test_no_form_spills_or_serialises(tmp_path, configs):
  assert not complaints({_recipe(config) for config in configs()}, tmp_path)


def test_python_and_cuda_name_the_same_fields():
  text = headers()["kernels/sm90_fp8_fp4_gemm_swapped_types.cuh"]
  name = Sm90Fp8Fp4GemmSwappedConfig.__name__
  body = text.split(f"struct {name} {{")[1].split("constexpr")[0]
  fields = re.findall(r"^\s*(?:int|bool) (\w+);", body, re.MULTILINE)
  assert fields == [
    f.name for f in dataclasses.fields(Sm90Fp8Fp4GemmSwappedConfig)
  ]
