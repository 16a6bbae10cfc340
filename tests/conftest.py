"""Settings that every test runs under."""

import functools
import gc
import glob
import os

import jax
import pytest

# Shardings are tested on one machine without a GPU.
jax.config.update("jax_num_cpu_devices", 4)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_enable_checks", True)

_FASTEST_COMPILATION = [
  "--xla_backend_optimization_level=0",
  "--xla_llvm_disable_expensive_passes=true",
  # Of 32 parts each costs: 0.25 s of the processor's time for a product and its
  # gradients, 0.16 s in one.
  "--xla_cpu_parallel_codegen_split_count=1",
]
if jax.__version_info__ < (0, 11):
  # Half the time again. A later XLA has no other emitters and refuses the name.
  _FASTEST_COMPILATION += ["--xla_cpu_use_fusion_emitters=false"]
if not glob.glob("/dev/nvidia[0-9]*"):
  # Most programs run once and are small: compiling them takes the time. On a
  # GPU they are compiled as users' are. A test's subprocesses inherit it.
  _given = os.environ.get("XLA_FLAGS", "")
  os.environ["XLA_FLAGS"] = " ".join([*_FASTEST_COMPILATION, _given])


@functools.cache
def _has_hopper() -> bool:
  return any(
    device.platform == "gpu" and device.compute_capability == "9.0"
    for device in jax.devices()
  )


def pytest_collection_finish() -> None:
  """Lets the garbage collector look at what tests make, and less often."""
  # JAX's caches hold millions of objects, none of them garbage: looking at them
  # again and again took a tenth of the time.
  gc.collect()
  gc.freeze()
  gc.set_threshold(20_000)


def pytest_runtest_setup(item: pytest.Item) -> None:
  """Skips a test marked `gpu` on a machine that cannot run it."""
  if item.get_closest_marker("gpu") is not None and not _has_hopper():
    pytest.skip("needs a Hopper GPU (compute capability 9.0)")
