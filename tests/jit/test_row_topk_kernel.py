"""The selection of largest values compiles clean in every form."""

import dataclasses
import re

from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.heuristics.sm90_row_topk import (
  RowTopkProblem,
  Sm90RowTopkConfig,
  choose,
  legal_row_topk_configs,
)
from jax_deepgemm.jit import headers
from jax_deepgemm.primitives.sm90_row_topk import recipe
from tests.jit.test_fp8_gemm_kernel import complaints


def _forms():
  """What is chosen, and every number of threads and vectors."""
  for k, listed in ((2048, False), (2048, True), (16384, False)):
    yield choose(RowTopkProblem(264, 65536, k, listed), H200)
  problem = RowTopkProblem(264, 65536, 512)
  # Other capacities only change how many blocks share a multiprocessor.
  unique = {
    (config.num_threads, config.num_vectors): config
    for config in legal_row_topk_configs(problem, H200)
    if config.capacity <= 12288
  }
  yield from unique.values()


def test_no_form_spills(tmp_path):
  assert not complaints({recipe(config) for config in _forms()}, tmp_path)


def test_python_and_cuda_name_the_same_fields():
  text = headers()["kernels/sm90_row_topk_types.cuh"]
  body = text.split("struct Sm90RowTopkConfig {")[1].split("};")[0]
  fields = re.findall(r"^\s*(?:int|bool) (\w+);", body, re.MULTILINE)
  names = [f.name for f in dataclasses.fields(Sm90RowTopkConfig)]
  assert fields == names
