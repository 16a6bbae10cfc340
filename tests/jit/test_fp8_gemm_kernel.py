"""The FP8 GEMM compiles clean in every form that can be chosen."""

import concurrent.futures
import dataclasses
import itertools
import random
import re

import pytest

from benchmarks import results
from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.heuristics.fp8_gemm import choose
from jax_deepgemm.heuristics.sm90_fp8_gemm import (
  Fp8GemmProblem,
  Sm90Fp8GemmConfig,
  legal_configs,
)
from jax_deepgemm.heuristics.sm90_fp8_gemm_split import (
  Sm90Fp8GemmSplitConfig,
  legal_split_configs,
)
from jax_deepgemm.heuristics.sm90_fp8_gemm_swapped import (
  Sm90Fp8GemmSwappedConfig,
  legal_swapped_configs,
)
from jax_deepgemm.jit import JitSettings, headers
from jax_deepgemm.jit.compiler import compile_kernel
from jax_deepgemm.primitives import (
  sm90_fp8_gemm,
  sm90_fp8_gemm_split,
  sm90_fp8_gemm_swapped,
)

NUM_SAMPLED = 16

# What ptxas says when it cannot keep the sums in registers or the tensor cores
# asynchronous.
_COMPLAINT = re.compile(r"C75\d\d|[1-9]\d* bytes (?:stack|spill)|Performance")

# sfb_per_row, float32_out, with_c.
_FORWARD = (False, False, False)
_WITH_C = (False, False, True)
_GRADIENT = (True, False, False)
_MAIN_GRADIENT = (True, True, True)


def _chosen():
  """What the cases of the benchmark run, forward and for gradients."""
  for form in (_FORWARD, _WITH_C, _GRADIENT, _MAIN_GRADIENT):
    for m, n, k in results.dense_cases():
      yield choose(Fp8GemmProblem(m, n, k, 1, *form), H200)


def _sampled():
  forms = itertools.product(
    (1, 40, 200, 5000), (False, True), (False, True), (False, True)
  )
  configs = set()
  for m, *flags in forms:
    problem = Fp8GemmProblem(m, 4096, 4096, 1, *flags)
    configs |= set(legal_configs(problem, H200))
  # The number of stages changes no instruction.
  unique = {dataclasses.replace(c, num_stages=3): c for c in configs}
  configs = sorted(unique.values(), key=str)
  return random.Random(0).sample(configs, NUM_SAMPLED)


def _sampled_swapped():
  """Of each width the form with the most registers, and others."""
  forms = itertools.product(
    (8, 16, 24, 32, 48, 64, 96, 128), (False, True), (False, True)
  )
  unique = {}
  for m, sfb_per_row, with_c in forms:
    problem = Fp8GemmProblem(m, 4096, 65536, 1, sfb_per_row, False, with_c)
    for config in legal_swapped_configs(problem, H200, prefetch_weights=True):
      unique[dataclasses.replace(config, num_stages=2)] = config
  configs = sorted(unique.values(), key=str)
  widest = {config.block_m: config for config in configs}
  return [*widest.values(), *random.Random(0).sample(configs, NUM_SAMPLED)]


def _sampled_split():
  """Of each tile the form with the most registers, and others."""
  unique = {}
  for float32_out, with_c in itertools.product((False, True), repeat=2):
    problem = Fp8GemmProblem(100, 576, 65536, 1, False, float32_out, with_c)
    for config in legal_split_configs(problem, H200, prefetch_weights=True):
      unique[dataclasses.replace(config, num_stages=2)] = config
  configs = sorted(
    unique.values(), key=lambda c: (c.mma_k_blocks, c.stage_k_blocks, str(c))
  )
  widest = {
    (config.block_m, config.block_n, config.ctas_per_sm): config
    for config in configs
  }
  return [*widest.values(), *random.Random(0).sample(configs, NUM_SAMPLED)]


def recipe(config):
  if isinstance(config, Sm90Fp8GemmSplitConfig):
    return sm90_fp8_gemm_split.recipe(config)
  if isinstance(config, Sm90Fp8GemmSwappedConfig):
    return sm90_fp8_gemm_swapped.recipe(config)
  return sm90_fp8_gemm.recipe(config)


def complaints(recipes, folder):
  """Returns {source: what ptxas says of it} of the kernels that it bemoans."""
  settings = JitSettings(cache_dir=str(folder), ptxas_verbose=True)
  recipes = sorted(recipes, key=str)
  with concurrent.futures.ThreadPoolExecutor(2) as pool:
    logs = pool.map(lambda r: compile_kernel(r, settings).log, recipes)
  return {
    r.source: _COMPLAINT.search(log).group(0)
    for r, log in zip(recipes, logs, strict=True)
    if _COMPLAINT.search(log)
  }


@pytest.mark.parametrize(
  "configs", [_chosen, _sampled, _sampled_swapped, _sampled_split]
)
def test_no_form_spills_or_serialises(tmp_path, configs):
  assert not complaints({recipe(config) for config in configs()}, tmp_path)


@pytest.mark.parametrize(
  ("kernel", "config"),
  [
    ("sm90_fp8_gemm", Sm90Fp8GemmConfig),
    ("sm90_fp8_gemm_swapped", Sm90Fp8GemmSwappedConfig),
    ("sm90_fp8_gemm_split", Sm90Fp8GemmSplitConfig),
  ],
)
def test_python_and_cuda_name_the_same_fields(kernel, config):
  text = headers()[f"kernels/{kernel}_types.cuh"]
  body = text.split(f"struct {config.__name__} {{")[1].split("constexpr")[0]
  fields = re.findall(r"^\s*(?:int|bool) (\w+);", body, re.MULTILINE)
  assert fields == [f.name for f in dataclasses.fields(config)]
