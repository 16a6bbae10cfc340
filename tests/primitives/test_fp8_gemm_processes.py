"""What leaves the process: exported programs and the persistent cache."""

import os
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np

import jax_deepgemm as dg
from tests.primitives.gemm_oracle import scaled

ROOT = pathlib.Path(dg.__file__).parents[1]
A = jax.tree.map(jnp.asarray, scaled(16, 256, (1, 128), 1))
B = jax.tree.map(jnp.asarray, scaled(200, 256, (128, 128), 5))


def run_python(code: str, *args: object) -> str:
  """Returns what a fresh process prints."""
  environment = os.environ | {
    "PYTHONPATH": str(ROOT),
    "JAX_PLATFORMS": "cpu",
  }
  done = subprocess.run(
    [sys.executable, "-W", "error", "-c", code, *map(str, args)],
    env=environment,
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 0, done.stderr
  return done.stdout


def test_an_exported_program_runs_where_the_package_is_not_imported(tmp_path):
  def f(a, b):
    return dg.fp8_gemm_nt(a, b, out_dtype=jnp.float32)

  arrays = (*A, *B)
  exported = jax.export.export(
    jax.jit(lambda *x: f(x[:2], x[2:])),
    disabled_checks=dg.DISABLE_JAX_EXPORT_CHECKS,
  )(*arrays)
  (tmp_path / "program").write_bytes(bytes(exported.serialize()))
  for i, x in enumerate(arrays):
    (tmp_path / f"{i}").write_bytes(np.asarray(x).tobytes())
  run_python(
    """
import sys, pathlib, numpy as np, jax, jax.numpy as jnp
from jax import export
folder = pathlib.Path(sys.argv[1])
program = export.deserialize(bytearray((folder / "program").read_bytes()))
arrays = [
  np.frombuffer((folder / f"{i}").read_bytes(), aval.dtype).reshape(aval.shape)
  for i, aval in enumerate(program.in_avals)
]
np.save(folder / "result.npy", jax.jit(program.call)(*arrays))
assert "jax_deepgemm" not in sys.modules
""",
    tmp_path,
  )
  np.testing.assert_allclose(
    np.load(tmp_path / "result.npy"), f(A, B), rtol=1e-6
  )


def test_a_gradient_can_be_exported():
  f = jax.grad(lambda a: dg.fp8_gemm_nt(a, B, out_dtype=jnp.float32).sum())
  a = jnp.ones((16, 256), jnp.float32)
  exported = jax.export.export(
    jax.jit(f),
    disabled_checks=dg.DISABLE_JAX_EXPORT_CHECKS,
  )(a)
  again = jax.export.deserialize(exported.serialize())
  np.testing.assert_allclose(again.call(a), f(a), rtol=1e-6)


def test_a_program_for_several_devices_can_be_exported():
  mesh = jax.make_mesh((4,), ("x",), axis_types=(jax.sharding.AxisType.Auto,))
  rows = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("x"))
  a = jax.device_put(A, rows)
  exported = jax.export.export(
    jax.jit(dg.fp8_gemm_nt, in_shardings=(rows, None)),
    disabled_checks=dg.DISABLE_JAX_EXPORT_CHECKS,
  )(a, B)
  again = jax.export.deserialize(exported.serialize())
  b = jax.device_put(
    B, jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
  )
  np.testing.assert_allclose(
    jax.jit(again.call)(a, b).astype(jnp.float32),
    dg.fp8_gemm_nt(A, B).astype(jnp.float32),
    rtol=1e-2,
  )


def test_a_fresh_process_finds_the_program_in_the_persistent_cache(tmp_path):
  code = """
import sys, jax, jax.numpy as jnp, jax_deepgemm as dg
jax.config.update("jax_compilation_cache_dir", sys.argv[1])
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
hits = []
jax.monitoring.register_event_listener(
  lambda name, **kw: hits.append(name.endswith("/cache_hits")))
f = jax.jit(lambda a, b: dg.fp8_gemm_nt(a, b))
a = jax.ShapeDtypeStruct((16, 256), jnp.bfloat16)
b = jax.ShapeDtypeStruct((200, 256), jnp.bfloat16)
f.lower(a, b).compile()
print(sum(hits))
"""
  assert run_python(code, tmp_path) == "0\n"
  assert run_python(code, tmp_path) == "1\n"


def test_importing_needs_neither_cuda_nor_a_backend():
  code = """
import sys
class Refuse:
  def find_spec(self, name, path=None, target=None):
    if name.split(".")[0] in ("cuda", "nvidia"):
      raise ModuleNotFoundError(f"{name} was imported", name=name)
sys.meta_path.insert(0, Refuse())
import jax_deepgemm
from jax._src import xla_bridge
print(len(xla_bridge._backends))
"""
  assert run_python(code) == "0\n"
