"""What reaches the driver when a call runs."""

import struct

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_deepgemm.primitives.kernel_call import Buffer, Scalar
from tests.ffi.fake_launcher import run


def unpack(form: str, argument: str) -> int | float:
  return struct.unpack(f"<{form}", bytes.fromhex(argument))[0]


def test_buffers_are_operands_then_results(driver, make_call):
  call = make_call((Buffer(2), Buffer(0), Buffer(1)), "8 8 8")
  x, y = jnp.zeros(4), jnp.ones(4)
  (result,) = run(call, x, y)
  arguments = driver.launches()[0]["arguments"]
  assert [unpack("Q", argument) for argument in arguments] == [
    array.unsafe_buffer_pointer() for array in (result, x, y)
  ]


@pytest.mark.parametrize(
  ("form", "kind", "value"),
  [
    ("i", "i32", -5),
    ("I", "i32", 2**32 - 1),
    ("q", "i64", -(2**40)),
    ("f", "f32", 0.1),
  ],
)
def test_a_scalar_arrives_in_its_type(driver, make_call, form, kind, value):
  size = str(struct.calcsize(form))
  run(make_call((Scalar(value, kind),), size))
  (argument,) = driver.launches()[0]["arguments"]
  expected = np.float32(value) if form == "f" else value
  assert unpack(form, argument) == expected


def test_more_than_ten_parameters_keep_their_order(driver, make_call):
  call = make_call(tuple(Scalar(i) for i in range(23)), "4 " * 23)
  run(call)
  arguments = driver.launches()[0]["arguments"]
  assert [unpack("i", argument) for argument in arguments] == list(range(23))


def test_a_launch_has_its_grid_block_and_shared_memory(driver, make_call):
  run(make_call(grid=(132, 2, 3), threads=384, smem_bytes=1000))
  (launched,) = driver.launches()
  assert launched["grid"] == [132, 2, 3]
  assert launched["block"] == [384, 1, 1]
  assert launched["shared_bytes"] == 1000


@pytest.mark.parametrize("cluster", [(1, 1, 1), (2, 1, 1), (1, 4, 2)])
@pytest.mark.parametrize("pdl", [False, True])
def test_attributes_are_set_only_if_asked(driver, make_call, cluster, pdl):
  enums = pytest.importorskip("cuda.bindings.driver").CUlaunchAttributeID
  cluster_id = int(enums.CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION)
  pdl_id = int(enums.CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION)
  expected = {}
  if cluster != (1, 1, 1):
    expected[str(cluster_id)] = list(cluster)
  if pdl:
    expected[str(pdl_id)] = [1, 0, 0]
  run(make_call(grid=(8, 8, 8), cluster=cluster, pdl=pdl))
  assert driver.launches()[0]["attributes"] == expected


def test_launches_of_one_call_run_in_order(driver, make_call):
  names = ["cast", "gemm", "cast"]
  calls = [
    make_call((Scalar(i),), "4", kernel=name) for i, name in enumerate(names)
  ]
  run(calls)
  launched = driver.launches()
  assert [event["kernel"] for event in launched] == names
  arguments = [unpack("i", event["arguments"][0]) for event in launched]
  assert arguments == [0, 1, 2]


@pytest.mark.parametrize("grid", [(0, 1, 1), (1, 0, 1), (1, 1, 0)])
def test_an_empty_grid_is_skipped(driver, make_call, grid):
  run([make_call(grid=grid, kernel="none"), make_call(kernel="one")])
  assert [event["kernel"] for event in driver.launches()] == ["one"]


def test_a_call_with_only_empty_results_launches_nothing(driver, make_call):
  run(make_call(), results=(((0, 4), np.float32), ((3, 0), np.int8)))
  assert driver.launches() == []
  run(make_call(), results=(((0, 4), np.float32), ((1,), np.int8)))
  assert len(driver.launches()) == 1


def test_each_device_has_its_own_function_and_context(driver, make_call):
  call = make_call((Buffer(0),), "8")
  for device in jax.devices():
    run(call, jax.device_put(jnp.zeros(4), device))
  launched = driver.launches()
  devices = [device.id for device in jax.devices()]
  assert [event["context_device"] for event in launched] == devices
  assert [event["function_device"] for event in launched] == devices
  assert len(driver.calls("cuLibraryLoadData")) == 1
  assert len(driver.calls("cuKernelGetFunction")) == len(devices)


def test_contexts_are_left_as_they_were_found(driver, make_call):
  run([make_call(), make_call(kernel="other")])
  pushes = len(driver.calls("cuCtxPushCurrent"))
  assert pushes > 0
  assert len(driver.calls("cuCtxPopCurrent")) == pushes
