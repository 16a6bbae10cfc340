"""The file of what was tuned: damaged, foreign, and written by many."""

import json
import os
import subprocess
import sys
import warnings

import pytest

from jax_deepgemm.cli import tuning_store
from jax_deepgemm.heuristics.device import H200, Device
from jax_deepgemm.heuristics.user_table import EMPTY, UserTable, parse, render
from jax_deepgemm.primitives import tuning_file
from tests.cli.tuned_cache import tuned_cache as tuned_cache

_ENTRY = {"key": [2, 1, 128], "us": 1.5, "default_us": 2.0}
_WRITER = """
import sys
from jax_deepgemm.cli import tuning_store
from jax_deepgemm.heuristics.device import H200
for i in range(12):
  name = f"{sys.argv[1]} {i}"
  tuning_store.store(H200, "fp8_gemm", name, {"key": [i]})
"""


def stored():
  return tuning_store.store(H200, "fp8_gemm", "a", _ENTRY)


def test_the_file_is_json_with_a_line_for_each_entry(tuned_cache):
  del tuned_cache
  stored()
  path = tuning_store.store(H200, "bf16_gemm", "b", {"key": ["x", 1]})
  name = os.path.basename(path)
  assert name.startswith("tuned-NVIDIA_H200-")
  assert name.endswith(".json")
  with open(path, encoding="utf-8") as file:
    text = file.read()
  assert '"a": {"key": [2, 1, 128], "us": 1.5, "default_us": 2.0}\n' in text
  document = json.loads(text)
  assert document["device"] == "NVIDIA H200"
  assert document["num_sms"] == 132
  assert document["configs"]["bf16_gemm"] == {"b": {"key": ["x", 1]}}


def test_what_is_rendered_parses():
  table = UserTable("X", 7, "1").with_entry("f", "n", _ENTRY)
  table = table.with_entry("f", "m", {"key": ["swapped", 1]})
  assert parse(render(table), "X", "1") == table
  assert parse(render(UserTable("X", 7, "1")), "X", "1").configs == {}


def test_no_file_is_no_table_and_no_warning(tuned_cache):
  del tuned_cache
  with warnings.catch_warnings():
    warnings.simplefilter("error")
    assert tuning_file.user_table(H200) is EMPTY


def _with(**fields):
  return lambda text: json.dumps({**json.loads(text), **fields})


@pytest.mark.parametrize(
  ("damage", "reason"),
  [
    (lambda text: "", "Expecting value"),
    (lambda text: text[: len(text) // 2], "delimiter|Unterminated|Expecting"),
    (lambda text: "[]", "no JSON object"),
    (lambda text: "[" * 100000, "recursion"),
    (_with(format=2), "its format is 2"),
    (_with(device="NVIDIA H20"), "its device is 'NVIDIA H20'"),
    (_with(version="0.0.0"), "its version is '0.0.0'"),
    (_with(num_sms="132"), "its num_sms is '132'"),
    (_with(configs=[]), "its configs are not"),
    (_with(configs={"fp8_gemm": {"a": [1]}}), "its configs are not"),
    (_with(configs={"fp8_gemm": {"a": {"key": []}}}), "its configs are not"),
    (_with(configs={"fp8_gemm": {"a": {"key": [{}]}}}), "its configs are not"),
  ],
)
def test_a_file_that_is_no_table_is_ignored_with_a_warning(
  tuned_cache, damage, reason
):
  path = stored()
  with open(path, encoding="utf-8") as file:
    text = file.read()
  with open(path, "w", encoding="utf-8") as file:
    file.write(damage(text))
  tuned_cache()
  with pytest.warns(UserWarning, match=f"ignores its tuned.*({reason})"):
    assert tuning_file.user_table(H200) is EMPTY
  with warnings.catch_warnings():  # Once a process.
    warnings.simplefilter("error")
    assert tuning_file.user_table(H200) is EMPTY
  with pytest.warns(UserWarning, match="ignores its tuned"):
    stored()
  tuned_cache()
  key = tuning_file.user_table(H200).key("fp8_gemm", "a", H200)
  assert key == (2, 1, 128)


def test_bytes_that_are_no_text_are_ignored(tuned_cache):
  path = stored()
  with open(path, "wb") as file:
    file.write(b"\xff\xfe\x00")
  tuned_cache()
  with pytest.warns(UserWarning, match="ignores its tuned"):
    assert tuning_file.user_table(H200) is EMPTY


def test_a_part_of_the_gpu_has_no_entries(tuned_cache):
  del tuned_cache
  stored()
  table = tuning_file.user_table(H200)
  assert table.key("fp8_gemm", "a", H200) == (2, 1, 128)
  assert table.key("fp8_gemm", "a", Device("NVIDIA H200", num_sms=64)) is None
  assert table.key("fp8_gemm", "a", Device("NVIDIA H20")) is None
  assert table.key("bf16_gemm", "a", H200) is None
  other = Device("NVIDIA H20", num_sms=78)
  assert tuning_file.user_table(other) is EMPTY


def test_writers_do_not_lose_what_others_write(tuned_cache, tmp_path):
  environment = {
    **os.environ,
    "DG_JIT_CACHE_DIR": str(tmp_path / "cache"),
    "JAX_PLATFORMS": "cpu",
  }
  writers = [
    subprocess.Popen([sys.executable, "-c", _WRITER, name], env=environment)
    for name in "abc"
  ]
  sizes = [0]
  while any(writer.poll() is None for writer in writers):
    with warnings.catch_warnings():
      warnings.simplefilter("error")  # Half a file would be warned of.
      configs = tuning_file.load("NVIDIA H200").configs
    sizes.append(len(configs.get("fp8_gemm", {})))
  assert [writer.returncode for writer in writers] == [0, 0, 0]
  assert sizes == sorted(sizes)
  tuned_cache()
  table = tuning_file.user_table(H200)
  for name in "abc":
    for i in range(12):
      assert table.key("fp8_gemm", f"{name} {i}", H200) == (i,)
