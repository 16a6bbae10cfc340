"""bench on the CPU: wall-clock times, and what it refuses."""

import jax
import jax.numpy as jnp
import pytest

from jax_deepgemm.testing import BenchResult, Samples, bench, profile
from jax_deepgemm.testing.cache_flush import CacheFlush, flush_caches


def test_every_call_is_timed_on_the_wall_clock():
  calls = []

  def fn(x):
    calls.append(x)
    return x + 1

  result = bench(fn, jnp.ones(3), num_tests=7, num_warmups=3)
  assert len(calls) == 10
  assert isinstance(result, BenchResult)
  assert result.method == "wall clock"
  assert result.kernels == {}
  assert len(result.run.microseconds) == 7
  assert 0 < result.run.min <= result.run.median <= result.run.max


def test_the_first_calls_are_not_timed():
  @jax.jit
  def fn(x):
    return jnp.tanh(x)

  result = bench(fn, jnp.ones(3), num_tests=5)
  # Compiling takes at least some milliseconds.
  assert result.run.min < 5e3


def test_a_longer_job_takes_longer():
  fn = jax.jit(lambda x: x @ x)
  small = bench(fn, jnp.ones((16, 16)), num_tests=5).run.min
  large = bench(fn, jnp.ones((1024, 1024)), num_tests=5).run.min
  assert large > small


@pytest.mark.parametrize("name", ["num_tests", "num_warmups"])
def test_at_least_one_call_is_needed(name):
  with pytest.raises(ValueError, match="at least 1"):
    bench(jnp.sin, jnp.ones(3), **{name: 0})


@pytest.mark.parametrize("result", [None, 3, ()])
def test_a_function_without_arrays_is_refused(result):
  with pytest.raises(TypeError, match="must return JAX arrays"):
    bench(lambda: result)


def test_results_on_several_devices_are_refused():
  x = jax.device_put(jnp.ones(1), jax.devices()[1])
  with pytest.raises(ValueError, match="got results on 2"):
    bench(lambda y: (x, y), jnp.ones(1))


def test_samples_of_zero_time_have_no_spread():
  assert Samples((0.0, 0.0)).spread == 0.0


@pytest.mark.gpu
@pytest.mark.parametrize("flush_l2", [True, False])
def test_a_gpu_is_timed_by_kernels(flush_l2):
  fn = jax.jit(lambda x: x @ x)
  x = jnp.ones((4096, 4096), jnp.bfloat16)
  result = bench(fn, x, num_tests=5, flush_l2=flush_l2)
  assert result.method == "profiler"
  assert len(result.run.microseconds) == 5
  # 137 GFLOP at 990 TFLOP/s, the datasheet's peak, take 139 us.
  assert 130 < result.run.median < 2000


@pytest.mark.gpu
@pytest.mark.parametrize("flush_l2", [True, False])
def test_kernels_of_a_run_are_told_apart_on_a_gpu(flush_l2):
  # A sort in between keeps XLA from fusing the products with anything.
  fn = jax.jit(lambda x: jnp.sort(x @ x, axis=1) @ x)
  x = jnp.ones((512, 512), jnp.float32)
  result = bench(fn, x, num_tests=8, flush_l2=flush_l2)
  assert len(result.kernels) >= 2
  assert not any("flush" in name for name in result.kernels)
  assert all(
    len(times.microseconds) % 8 == 0 for times in result.kernels.values()
  )
  kernels_us = sum(
    sum(times.microseconds) / 8 for times in result.kernels.values()
  )
  assert kernels_us <= result.run.max


@pytest.mark.gpu
def test_a_kernel_that_does_not_run_on_a_gpu_is_an_error():
  fn = jax.jit(lambda x: x @ x)
  with pytest.raises(RuntimeError, match="no kernel with 'no_such' in"):
    bench(fn, jnp.ones((256, 256)), num_tests=3, kernel_name="no_such")


@pytest.mark.gpu
def test_the_flush_is_one_kernel_that_writes_gigabytes():
  device = jax.local_devices()[0]
  flush = CacheFlush(device)
  flush()
  with profile.record(device) as recording:
    flush()
    jax.block_until_ready(flush._buffer)
  (event,) = recording.events
  assert flush_caches.__name__ in event.module
  assert flush.num_bytes / 6e12 < event.duration_ns / 1e9
