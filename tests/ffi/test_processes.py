"""What a fresh process does: import, register, load what another compiled."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import pytest

ROOT = Path(__file__).parents[2]

PROGRAM = """
import json, sys
import jax
import jax.numpy as jnp
from jax_deepgemm import ffi
from jax_deepgemm.ffi import _launch
from jax_deepgemm.jit.recipe import Recipe
from jax_deepgemm.primitives.kernel_call import Buffer, KernelCall, Scalar
from tests.ffi import fake_launcher

driver_path, directory = sys.argv[1:]
compiler = fake_launcher.FakeCompiler()
ffi.register(compiler)
fake_launcher.install(driver_path)

def program(x):
  recipe = Recipe("fake", "4 8", "sm_90a", "-lineinfo", "v1")
  params = (Scalar(42), Buffer(0))
  call = KernelCall(recipe, (5, 1, 1), (1, 1, 1), 128, 0, False, params)
  return fake_launcher.launch(call, x)

def report(**fields):
  driver = fake_launcher.FakeDriver(driver_path)
  print(json.dumps(fields | {
    "requests": [request.source for request in compiler.requests],
    "launches": [
      [event["kernel"], event["grid"], event["arguments"][0]]
      for event in driver.launches()
    ],
    "counters": ffi.counters(),
  }))
"""

CACHED = """
hits = []
jax.monitoring.register_event_listener(
  lambda name, **_: hits.append(name) if name.endswith("/cache_hits") else None
)
jax.config.update("jax_compilation_cache_dir", directory)
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
lowered = jax.jit(program).lower(jax.ShapeDtypeStruct((4,), "float32"))
compiled = lowered.compile()
compile_hits = len(hits)
jax.block_until_ready(compiled(jnp.zeros(4)))
report(hits=compile_hits)
"""

EXPORT = """
check = jax.export.DisabledSafetyCheck.custom_call(ffi.TARGET)
exported = jax.export.export(jax.jit(program), disabled_checks=[check])(
  jax.ShapeDtypeStruct((4,), "float32")
)
with open(directory + "/program", "wb") as file:
  file.write(exported.serialize())
report()
"""

CALL_EXPORTED = """
with open(directory + "/program", "rb") as file:
  exported = jax.export.deserialize(bytearray(file.read()))
jax.block_until_ready(exported.call(jnp.zeros(4)))
report()
"""

LAUNCHES = [["fake", [5, 1, 1], "2a000000"]]


def python(script: str, *arguments: str) -> str:
  environment = os.environ | {"JAX_PLATFORMS": "cpu"}
  process = subprocess.run(
    [sys.executable, "-W", "error", "-c", script, *arguments],
    cwd=ROOT,
    env=environment,
    capture_output=True,
    text=True,
    timeout=120,
  )
  assert process.returncode == 0, process.stderr
  return process.stdout


def report(script: str, *arguments: Any) -> dict[str, Any]:
  return json.loads(python(PROGRAM + script, *map(str, arguments)))


def test_a_cached_program_is_rebuilt_from_its_attributes(driver_path, tmp_path):
  cold = report(CACHED, driver_path, tmp_path)
  warm = report(CACHED, driver_path, tmp_path)
  assert cold["hits"] == 0
  assert warm["hits"] == 1
  for run in (cold, warm):
    assert run["requests"] == ["4 8"]
    assert run["launches"] == LAUNCHES
    assert run["counters"]["instantiates"] == 1


def test_an_exported_program_is_rebuilt_from_its_attributes(
  driver_path, tmp_path
):
  exporter = report(EXPORT, driver_path, tmp_path)
  caller = report(CALL_EXPORTED, driver_path, tmp_path)
  assert exporter["requests"] == []
  assert caller["requests"] == ["4 8"]
  assert caller["launches"] == LAUNCHES


def test_a_missing_driver_is_an_error_that_names_it(tmp_path):
  missing = tmp_path / "libcuda.so.1"
  script = """
try:
  jax.block_until_ready(jax.jit(program)(jnp.zeros(4)))
except jax.errors.JaxRuntimeError as error:
  print(error)
"""
  text = python(PROGRAM + script, str(missing), str(tmp_path))
  assert "kernel 'fake': cannot load the CUDA driver: " in text
  assert str(missing) in text


@pytest.mark.skipif(
  jax.default_backend() != "cpu", reason="needs a machine without a GPU"
)
def test_registering_twice_needs_no_gpu():
  script = """
from jax_deepgemm import ffi
ffi.register(lambda *recipe: b"")
ffi.register(lambda *recipe: b"")
import jax
print(jax.devices()[0].platform, ffi.counters()["loads"])
"""
  assert python(script).split() == ["cpu", "0"]
