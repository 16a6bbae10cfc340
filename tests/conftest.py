"""Settings that every test runs under."""

import functools

import jax
import pytest

# Shardings are tested on one machine without a GPU.
jax.config.update("jax_num_cpu_devices", 4)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_enable_checks", True)
# Most programs run once and are small: compiling them takes the time.
jax.config.update("jax_disable_most_optimizations", True)


@functools.cache
def _has_hopper() -> bool:
  return any(
    device.platform == "gpu" and device.compute_capability == "9.0"
    for device in jax.devices()
  )


def pytest_runtest_setup(item: pytest.Item) -> None:
  """Skips a test marked `gpu` on a machine that cannot run it."""
  if item.get_closest_marker("gpu") is not None and not _has_hopper():
    pytest.skip("needs a Hopper GPU (compute capability 9.0)")
