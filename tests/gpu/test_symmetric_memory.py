"""Arenas on real devices: alone, in one process, between processes."""

import functools
import importlib.util

import jax
import numpy as np
import pytest
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from jax_deepgemm import ffi
from tests.gpu import symmetric_program, two_processes

pytestmark = pytest.mark.gpu


def mesh_of(*devices) -> Mesh:
  array = np.array(devices, object)
  return Mesh(array, ("expert",), axis_types=(AxisType.Auto,))


@pytest.fixture
def buffer():
  with symmetric_program.make_buffer(mesh_of(jax.local_devices()[0])) as made:
    yield made


def test_a_single_rank_reaches_itself(buffer):
  device = jax.local_devices()[0]
  assert not symmetric_program.run(buffer, device, "read").any()
  found = symmetric_program.run(buffer, device, "write", 7)
  assert found.tolist() == [7] + [0] * 7


def test_captured_calls_keep_the_arena(buffer):
  def chain(x):
    for _ in range(6):
      x = symmetric_program.use(buffer, x, "count")
    return symmetric_program.use(buffer, x, "read")

  x = jax.device_put(np.ones(8, np.uint32), jax.local_devices()[0])
  program = jax.jit(chain).lower(x).compile()
  program(x).block_until_ready()
  ffi.reset_counters()
  for _ in range(20):
    found = program(x)
  assert int(found[0]) == 6 * 21
  counters = ffi.counters()
  assert counters["executes"] < 20 * 7
  # A replay, too, is refused after a fault.
  symmetric_program.run(buffer, jax.local_devices()[0], "fail")
  ffi.reset_counters()
  with pytest.raises(jax.errors.JaxRuntimeError, match="ABORTED: mega_moe"):
    program(x).block_until_ready()
  assert ffi.counters()["executes"] == 0
  buffer.reset()
  assert int(program(x)[0]) == 6


def test_a_fault_is_an_error_of_the_next_call_until_reset(buffer):
  device = jax.local_devices()[0]
  buffer.check_status()
  symmetric_program.run(buffer, device, "fail")
  text = "mega_moe: rank 0, call 4, timed out waiting for 'rows' of rank 9"
  with pytest.raises(RuntimeError, match=text):
    buffer.check_status()
  with pytest.raises(jax.errors.JaxRuntimeError, match=f"ABORTED: {text}"):
    symmetric_program.run(buffer, device, "read")
  # Other programs go on.
  assert float(jax.jit(lambda x: x + 1)(1.0)) == 2.0
  buffer.reset()
  buffer.check_status()
  assert symmetric_program.run(buffer, device, "count")[0] == 1


def test_a_destroyed_buffer_is_refused_and_its_memory_free():
  device = jax.local_devices()[0]
  buffer = symmetric_program.make_buffer(mesh_of(device))
  program = jax.jit(symmetric_program.use, static_argnums=(0, 2))
  x = jax.device_put(np.ones(8, np.uint32), device)
  for _ in range(50):
    x = program(buffer, x, "count")
  buffer.destroy()
  assert int(x[0]) == 50
  with pytest.raises(jax.errors.JaxRuntimeError, match="was destroyed, or"):
    program(buffer, x, "count").block_until_ready()


def test_memory_that_there_is_not_is_an_error_with_a_fraction():
  with pytest.raises(MemoryError, match="has no room for"):
    symmetric_program.jd.get_symm_buffer_for_mega_moe(
      mesh_of(jax.local_devices()[0]), "expert", 256, 2**20, 8, 7168, 2048
    )


@pytest.mark.parametrize("axis", ["expert", "data"])
def test_devices_of_a_group_reach_each_other(axis):
  devices = jax.local_devices()
  if len(devices) < 2:
    pytest.skip("one GPU")
  num = len(devices) // 2 * 2
  # Neither ids nor ordinals are ranks.
  grid = np.array(devices[:num][::-1], object).reshape(2, num // 2)
  mesh = Mesh(grid, ("expert", "data"), axis_types=(AxisType.Auto,) * 2)
  groups = grid.T if axis == "expert" else grid
  with symmetric_program.make_buffer(mesh, axis) as buffer:
    for group, members in enumerate(groups):
      for rank, device in enumerate(members):
        value = 100 * (group + 1) + rank
        symmetric_program.run(buffer, device, "write", value)
    for group, members in enumerate(groups):
      expected = [100 * (group + 1) + rank for rank in range(len(members))]
      for device in members:
        found = symmetric_program.run(buffer, device, "read")
        assert found[: len(expected)].tolist() == expected
        assert not found[len(expected) :].any()


def test_all_devices_of_a_run_refuse_it():
  devices = jax.local_devices()[:2]
  if len(devices) < 2:
    pytest.skip("one GPU")
  mesh = mesh_of(*devices)
  spec = P("expert")
  x = jax.device_put(np.ones(16, np.uint32), NamedSharding(mesh, spec))
  with symmetric_program.make_buffer(mesh) as buffer:

    @functools.partial(jax.jit, static_argnums=1)
    def program(x, mode):
      def on_one(x):
        y = symmetric_program.use(buffer, x, mode)
        return jax.lax.psum(y, "expert")

      return jax.shard_map(on_one, mesh=mesh, in_specs=spec, out_specs=P())(x)

    program(x, "read").block_until_ready()
    symmetric_program.run(buffer, devices[1], "fail")
    for _ in range(3):
      with pytest.raises(jax.errors.JaxRuntimeError, match="rank 1, call 4"):
        program(x, "read").block_until_ready()
    buffer.reset()
    assert int(program(x, "count")[0]) == 2


@pytest.mark.parametrize("backend", ["cuda_ipc", "nvshmem"])
def test_two_processes_reach_each_other(backend):
  if backend == "nvshmem":
    if two_processes.gpus() == (0, 0):
      pytest.skip("NVSHMEM needs a GPU for each process")
    if importlib.util.find_spec("nvidia.nvshmem") is None:
      pytest.skip("NVSHMEM is not installed")
  two_processes.run("tests.gpu.symmetric_process", backend)
