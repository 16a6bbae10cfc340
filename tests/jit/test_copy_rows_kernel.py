"""Copies of rows to another pitch compile clean in every form."""

import dataclasses
import itertools
import re

from jax_deepgemm.heuristics.sm90_copy_rows import (
  CopiedRows,
  Sm90CopyRowsConfig,
  choose,
)
from jax_deepgemm.jit import headers
from jax_deepgemm.primitives.sm90_copy_rows import recipe
from tests.jit.test_fp8_gemm_kernel import complaints


def _forms():
  """What is chosen, to whole pieces and to other rows."""
  sizes, pitches = (4096, 200, 1), ((7152, 7168), (7168, 7152))
  for num_rows, pitch in itertools.product(sizes, pitches):
    yield choose([CopiedRows(num_rows, *pitch)])


def test_no_form_spills(tmp_path):
  forms = set(_forms())
  assert len(forms) == 6
  assert not complaints({recipe(config) for config in forms}, tmp_path)


def test_python_and_cuda_name_the_same_fields():
  text = headers()["kernels/sm90_copy_rows.cuh"]
  body = text.split("struct Sm90CopyRowsConfig {")[1].split("};")[0]
  fields = re.findall(r"^\s*(?:int|bool) (\w+);", body, re.MULTILINE)
  names = [f.name for f in dataclasses.fields(Sm90CopyRowsConfig)]
  assert fields == names
