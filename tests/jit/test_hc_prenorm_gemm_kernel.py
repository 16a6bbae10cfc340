"""The product with sums of squares compiles clean in every form."""

import concurrent.futures
import dataclasses
import random
import re

from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.heuristics.sm90_hc_prenorm_gemm import (
  HcPrenormProblem,
  Sm90HcPrenormGemmConfig,
  legal_configs,
)
from jax_deepgemm.jit import JitSettings, headers
from jax_deepgemm.jit.compiler import compile_kernel
from jax_deepgemm.primitives.sm90_hc_prenorm_gemm import recipe

NUM_SAMPLED = 4

# What ptxas says when it cannot keep the sums in registers or the tensor cores
# asynchronous.
_COMPLAINT = re.compile(r"C75\d\d|[1-9]\d* bytes (?:stack|spill)|Performance")


def test_no_form_spills_or_serialises(tmp_path):
  settings = JitSettings(cache_dir=str(tmp_path), ptxas_verbose=True)
  configs = sorted(
    legal_configs(HcPrenormProblem(4096, 99, 7168), H200), key=str
  )
  # Those that leave the fewest registers.
  widest = [
    c
    for c in configs
    if c.block_n == 32 and c.num_splits == 16 and c.ctas_per_sm == 2
  ]
  sampled = random.Random(0).sample(configs, NUM_SAMPLED)
  recipes = sorted({recipe(config) for config in (*widest, *sampled)}, key=str)
  with concurrent.futures.ThreadPoolExecutor(2) as pool:
    logs = pool.map(lambda r: compile_kernel(r, settings).log, recipes)
  complaints = {
    r.source: _COMPLAINT.search(log).group(0)
    for r, log in zip(recipes, logs, strict=True)
    if _COMPLAINT.search(log)
  }
  assert not complaints


def test_python_and_cuda_name_the_same_fields():
  text = headers()["kernels/sm90_hc_prenorm_gemm_types.cuh"]
  body = text.split("struct Sm90HcPrenormGemmConfig {")[1].split("constexpr")[0]
  fields = re.findall(r"^\s*(?:int|bool) (\w+);", body, re.MULTILINE)
  declared = dataclasses.fields(Sm90HcPrenormGemmConfig)
  assert fields == [f.name for f in declared]
