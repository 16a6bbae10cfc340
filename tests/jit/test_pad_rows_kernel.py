"""The kernel that pads rows compiles clean in every form."""

import dataclasses
import re

from jax_deepgemm.heuristics.sm90_pad_rows import (
  PaddedRows,
  Sm90PadRowsConfig,
  choose,
)
from jax_deepgemm.jit import headers
from jax_deepgemm.primitives.sm90_pad_rows import recipe
from tests.jit.test_fp8_gemm_kernel import complaints


def test_no_form_spills(tmp_path):
  forms = {choose([PaddedRows(rows, 7152, 7168)]) for rows in (4096, 200, 1)}
  assert {form.pieces_per_thread for form in forms} == {4, 2, 1}
  assert not complaints({recipe(form) for form in forms}, tmp_path)


def test_python_and_cuda_name_the_same_fields():
  text = headers()["kernels/sm90_pad_rows.cuh"]
  body = text.split("struct Sm90PadRowsConfig {")[1].split("};")[0]
  fields = re.findall(r"^\s*(?:int|bool) (\w+);", body, re.MULTILINE)
  names = [f.name for f in dataclasses.fields(Sm90PadRowsConfig)]
  assert fields == names
