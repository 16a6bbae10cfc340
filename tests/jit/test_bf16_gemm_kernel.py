"""The BF16 GEMM compiles clean in every form that can be chosen."""

import concurrent.futures
import dataclasses
import itertools
import random
import re

import pytest

from benchmarks import results
from jax_deepgemm.heuristics.bf16_gemm import choose
from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.heuristics.sm90_bf16_gemm import (
  Bf16GemmProblem,
  Sm90Bf16GemmConfig,
  legal_configs,
)
from jax_deepgemm.jit import JitSettings, headers
from jax_deepgemm.jit.compiler import compile_kernel
from jax_deepgemm.primitives.sm90_bf16_gemm import recipe

NUM_SAMPLED = 12

# What ptxas says when it cannot keep the sums in registers or the tensor cores
# asynchronous.
_COMPLAINT = re.compile(r"C75\d\d|[1-9]\d* bytes (?:stack|spill)|Performance")


def _chosen():
  """What the cases of the benchmark run."""
  return {choose(problem, H200) for problem in results.bf16_problems()}


def _all():
  """Every form for large, small and tiny m, but for the number of stages."""
  flags = list(itertools.product((False, True), repeat=4))
  configs = set()
  for m, form in itertools.product((1, 40, 200, 5000), flags):
    problem = Bf16GemmProblem(m, 4096, 4096, 1, *form)
    configs |= set(legal_configs(problem, H200))
  unique = {dataclasses.replace(c, num_stages=3): c for c in configs}
  return sorted(unique.values(), key=str)


def _registers(config):
  """Registers of a thread for sums and results, as a share of what it has."""
  sums = config.num_slabs * config.block_n // 2
  has = 160 if config.num_math_warpgroups == 3 else 240
  return (sums + sums * config.out_bytes // 4) / has


def _sampled():
  return random.Random(0).sample(_all(), NUM_SAMPLED)


def _fullest():
  """Forms that leave the fewest registers, where spills begin."""
  full = [c for c in _all() if _registers(c) > 0.72]
  return random.Random(1).sample(full, NUM_SAMPLED)


@pytest.mark.parametrize("configs", [_chosen, _sampled, _fullest])
def test_no_form_spills_or_serialises(tmp_path, configs):
  settings = JitSettings(cache_dir=str(tmp_path), ptxas_verbose=True)
  recipes = sorted({recipe(config) for config in configs()}, key=str)
  with concurrent.futures.ThreadPoolExecutor(2) as pool:
    logs = pool.map(lambda r: compile_kernel(r, settings).log, recipes)
  complaints = {
    r.source: _COMPLAINT.search(log).group(0)
    for r, log in zip(recipes, logs, strict=True)
    if _COMPLAINT.search(log)
  }
  assert not complaints


def test_python_and_cuda_name_the_same_fields():
  text = headers()["kernels/sm90_bf16_gemm_types.cuh"]
  body = text.split("struct Sm90Bf16GemmConfig {")[1].split("constexpr")[0]
  fields = re.findall(r"^\s*(?:int|bool) (\w+);", body, re.MULTILINE)
  assert fields == [f.name for f in dataclasses.fields(Sm90Bf16GemmConfig)]
