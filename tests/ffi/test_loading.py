"""Loading of kernels: once per process, set up once per device."""

import jax
import jax.numpy as jnp
import pytest

from jax_deepgemm import ffi
from tests.ffi.fake_launcher import launch, run

MAX_SHARED = "CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES"
NON_PORTABLE = "CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED"


def attribute_values(driver, name: str) -> list[int]:
  enum = pytest.importorskip("cuda.bindings.driver").CUfunction_attribute
  return [
    call["value"]
    for call in driver.calls("cuKernelSetAttribute")
    if call["attribute"] == int(getattr(enum, name))
  ]


@pytest.mark.parametrize(
  ("smem_bytes", "expected"), [(49152, []), (49153, [49153])]
)
def test_only_large_shared_memory_is_asked_for(
  driver, make_call, smem_bytes, expected
):
  run(make_call(smem_bytes=smem_bytes))
  assert attribute_values(driver, MAX_SHARED) == expected


def test_shared_memory_another_call_relies_on_is_not_lowered(driver, make_call):
  for smem_bytes in (100_000, 200_000, 60_000):
    run(make_call(smem_bytes=smem_bytes))
  assert attribute_values(driver, MAX_SHARED) == [100_000, 200_000]


@pytest.mark.parametrize(
  ("cluster", "expected"), [((8, 1, 1), []), ((4, 4, 1), [1])]
)
def test_only_clusters_above_eight_need_permission(
  driver, make_call, cluster, expected
):
  run(make_call(cluster=cluster))
  assert attribute_values(driver, NON_PORTABLE) == expected


def test_a_kernel_is_loaded_once_for_all_its_calls(driver, make_call):
  program = jax.jit(
    lambda x: launch(make_call(), *launch(make_call(threads=256), x))
  )
  for _ in range(3):
    jax.block_until_ready(program(jnp.zeros(4)))
  run(make_call(kernel="other"))
  assert ffi.counters()["loads"] == 2
  assert len(driver.launches()) == 7


def test_counters_tell_compiles_runs_and_captures(driver, make_call):
  x = jnp.zeros(4)
  program = jax.jit(lambda x: launch([make_call(), make_call()], x))
  for _ in range(3):
    jax.block_until_ready(program(x))
  driver.capture(1)
  jax.block_until_ready(program(x))
  expected = {"executes": 4, "captures": 1, "instantiates": 1, "loads": 1}
  assert ffi.counters() == expected
  ffi.reset_counters()
  assert set(ffi.counters().values()) == {0}


def test_a_failed_load_is_tried_again(driver, make_call):
  program = jax.jit(lambda x: launch(make_call(), x))
  driver.fail("cuLibraryLoadData")
  with pytest.raises(jax.errors.JaxRuntimeError, match="cuLibraryLoadData"):
    jax.block_until_ready(program(jnp.zeros(4)))
  driver.reset()
  jax.block_until_ready(program(jnp.zeros(4)))
  assert len(driver.launches()) == 1
