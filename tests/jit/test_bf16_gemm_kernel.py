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
from jax_deepgemm.heuristics.sm90_bf16_gemm_swapped import (
  Sm90Bf16GemmSwappedConfig,
  legal_swapped_configs,
)
from jax_deepgemm.jit import JitSettings, headers
from jax_deepgemm.jit.compiler import compile_kernel
from jax_deepgemm.primitives import sm90_bf16_gemm, sm90_bf16_gemm_swapped

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


def _sampled_swapped():
  """Of each width the form with the fewest registers to spare, and others."""
  flags = list(itertools.product((False, True), repeat=4))
  unique = {}
  for m, form in itertools.product((8, 16, 48, 64, 128, 160, 256), flags):
    problem = Bf16GemmProblem(m, 4096, 65536, 1, *form)
    for config in legal_swapped_configs(problem, H200, prefetch_weights=True):
      unique[dataclasses.replace(config, num_stages=2)] = config
  configs = sorted(unique.values(), key=str)
  spare = {c: c.max_registers - c.block_m // 2 for c in configs}
  widths = {c.block_m for c in configs}
  tightest = [
    min((c for c in configs if c.block_m == width), key=spare.__getitem__)
    for width in sorted(widths)
  ]
  return [*tightest, *random.Random(0).sample(configs, NUM_SAMPLED)]


def recipe(config):
  if isinstance(config, Sm90Bf16GemmSwappedConfig):
    return sm90_bf16_gemm_swapped.recipe(config)
  return sm90_bf16_gemm.recipe(config)


@pytest.mark.parametrize(
  "configs", [_chosen, _sampled, _fullest, _sampled_swapped]
)
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


@pytest.mark.parametrize(
  ("kernel", "config"),
  [
    ("sm90_bf16_gemm", Sm90Bf16GemmConfig),
    ("sm90_bf16_gemm_swapped", Sm90Bf16GemmSwappedConfig),
  ],
)
def test_python_and_cuda_name_the_same_fields(kernel, config):
  text = headers()[f"kernels/{kernel}_types.cuh"]
  body = text.split(f"struct {config.__name__} {{")[1].split("constexpr")[0]
  fields = re.findall(r"^\s*(?:int|bool) (\w+);", body, re.MULTILINE)
  assert fields == [f.name for f in dataclasses.fields(config)]
