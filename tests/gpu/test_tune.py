"""`tune` on a GPU: it measures, stores, and later processes choose so."""

import json
import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.gpu

_PROBLEMS = (
  "--fp8 128x2112x7168 --bf16 128x2112x1024 --m-grouped-fp8 512x1024"
  " --m-grouped-bf16 512x1024"
  " --k-grouped-fp8 512x768x4096 --groups 4 --expected-m 96 --configs 5"
)
_CHOICE = """
import jax.numpy as jnp, jax_deepgemm
x = jnp.ones((128, 1024), jnp.bfloat16)
w = jnp.ones((2112, 1024), jnp.bfloat16)
d = jax_deepgemm.bf16_gemm_nt(x, w)
assert (d == 1024).all()
"""


def _python(folder, *arguments, **variables):
  return subprocess.run(
    [sys.executable, *arguments],
    capture_output=True,
    check=True,
    text=True,
    env={**os.environ, "DG_JIT_CACHE_DIR": str(folder), **variables},
  ).stdout


def test_each_family_is_measured_and_chosen(tmp_path):
  output = _python(tmp_path, "-m", "jax_deepgemm", "tune", *_PROBLEMS.split())
  (path,) = tmp_path.glob("tuned-*.json")
  assert path.name in output
  table = json.loads(path.read_text())
  assert len(table["configs"]) == 5
  for entries in table["configs"].values():
    (entry,) = entries.values()
    assert 1 < entry["us"] <= entry["default_us"] < 1000
  # A later process takes what the table says: another tile, to see it.
  entries = table["configs"]["bf16_gemm"]
  (name,) = entries
  entries[name]["key"] = [1, 1, 16, 1, 1, 1, 1]
  path.write_text(json.dumps(table))
  printed = _python(tmp_path, "-c", _CHOICE, DG_PRINT_CONFIGS="1")
  assert "num_math_warpgroups=1, num_slabs=1, block_n=16" in printed
