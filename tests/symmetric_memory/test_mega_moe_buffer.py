"""The buffer as users have it, on CPUs: arguments, life, use in programs."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, Mesh

import jax_deepgemm as dg
from jax_deepgemm import mega_moe_buffer
from tests.symmetric_memory.fake_cuda import FakeDevice

SIZES = {
  "num_experts": 8,
  "num_max_tokens_per_rank": 100,
  "num_topk": 3,
  "hidden": 256,
  "intermediate_hidden": 128,
}


def mesh(shape=(2, 2), names=("data", "expert")):
  return jax.make_mesh(shape, names, axis_types=(AxisType.Auto,) * len(shape))


def make(on=None, axis_name="expert", **changes):
  return dg.get_symm_buffer_for_mega_moe(
    mesh() if on is None else on, axis_name, **(SIZES | changes)
  )


def test_a_buffer_on_cpus_has_a_layout_and_no_memory():
  buffer = make()
  assert (buffer.arena.num_ranks, buffer.arena.experts_per_rank) == (2, 4)
  # 2 ranks of 100 tokens, 3 choices each, in tiles of 128.
  assert buffer.arena.capacity == 640
  results = 300 * 256 * 2  # Of this rank's own tokens.
  assert buffer.num_bytes == buffer.arena.num_bytes > 640 * 256 + results
  assert buffer.backend is None
  assert make(axis_name=("expert", "data")).arena.num_ranks == 4
  assert make(mma_type="fp8xfp4").num_bytes == buffer.num_bytes
  wide = make(mma_type="bf16xbf16")
  assert wide.num_bytes > 640 * 256 * 2 + results > buffer.num_bytes


def test_shared_experts_have_room_for_the_tokens_of_their_rank():
  arena = make(num_shared_experts=2).arena
  assert (arena.num_experts, arena.experts_per_rank, arena.top_k) == (12, 6, 5)
  assert (arena.routed_per_rank, arena.routed_top_k) == (4, 3)
  # 2 ranks of 100 tokens with 3 choices, and 100 with 2 more; in tiles of 128.
  assert arena.capacity == 896


def test_a_buffer_is_a_static_argument_of_programs():
  traces = []

  @functools.partial(jax.jit, static_argnums=0)
  def program(buffer, x):
    traces.append(buffer.handle)
    return x * buffer.arena.capacity

  first, second = make(), make()
  assert first != second
  assert first.handle != second.handle
  for buffer in (first, second, first):
    assert program(buffer, jnp.int32(2)) == 2 * 640
  assert traces == [first.handle, second.handle]


def test_a_destroyed_buffer_says_so():
  with make() as buffer:
    buffer.check_usable()
    buffer.check_status()
    buffer.reset()
    assert not buffer.is_destroyed
  assert buffer.is_destroyed
  buffer.destroy()
  for use in (buffer.check_usable, buffer.reset):
    with pytest.raises(ValueError, match=f"buffer {buffer.handle} was: make"):
      use()


@pytest.mark.parametrize(
  ("changes", "error", "reason"),
  [
    ({"num_experts": 7}, ValueError, "num_experts: expected a multiple of 2"),
    ({"num_experts": 1026}, ValueError, "num_experts: expected 1 to 1024"),
    ({"num_experts": 8.0}, TypeError, "num_experts: expected an int, got 8.0"),
    ({"num_topk": 9}, ValueError, "num_topk: expected 1 to 8, got 9"),
    ({"num_topk": True}, TypeError, "num_topk: expected an int, got True"),
    ({"num_shared_experts": -1}, ValueError, "experts: expected 0 to 31"),
    (
      {"num_experts": 64, "num_topk": 31, "num_shared_experts": 2},
      *(ValueError, "num_topk: expected 1 to 30, got 31"),
    ),
    (
      {"num_experts": 1022, "num_shared_experts": 2},
      *(ValueError, "num_experts: expected 1 to 1020, got 1022"),
    ),
    ({"num_max_tokens_per_rank": 0}, ValueError, "expected 1 to 2147483648"),
    ({"num_max_tokens_per_rank": 2**29}, ValueError, r"fewer than 2\*\*31"),
    ({"hidden": 192}, ValueError, "hidden: expected a multiple of 128"),
    ({"intermediate_hidden": 64}, ValueError, "intermediate_hidden: expected"),
    ({"mma_type": "fp8"}, ValueError, "mma_type: expected one of"),
    ({"activation": "gelu"}, NotImplementedError, "expected 'swiglu'"),
    ({"timeout_s": 0}, ValueError, "timeout_s: expected seconds above 0"),
    ({"timeout_s": float("nan")}, ValueError, "timeout_s: expected seconds"),
    ({"timeout_s": "60"}, TypeError, "timeout_s: expected a number, got '60'"),
    ({"backend": "nccl"}, ValueError, "backend: expected None or one of"),
    ({"axis_name": "model"}, ValueError, "axis_name: expected one or more of"),
    ({"axis_name": ()}, ValueError, "axis_name: expected one or more of"),
    ({"axis_name": ("data", "data")}, ValueError, "expected distinct axes"),
    ({"on": "mesh"}, TypeError, "mesh: expected a jax.sharding.Mesh"),
  ],
)
def test_an_argument_that_does_not_fit_is_named(changes, error, reason):
  with pytest.raises(error, match=reason):
    make(**changes)


def test_more_ranks_than_a_header_has_room_for_are_refused():
  devices = np.array([FakeDevice(i) for i in range(65)], object)
  with pytest.raises(ValueError, match="expected at most 64 ranks, got 65"):
    make(Mesh(devices, ("expert",)), num_experts=65)


def test_devices_of_other_platforms_are_refused():
  devices = np.array([FakeDevice(i, platform="tpu") for i in range(2)], object)
  with pytest.raises(NotImplementedError, match="CUDA or CPUs, got tpu"):
    make(Mesh(devices, ("expert",)))


def test_a_mesh_of_other_processes_is_refused():
  devices = np.array([FakeDevice(i, process_index=3) for i in range(2)], object)
  with pytest.raises(ValueError, match="expected devices of this process"):
    make(Mesh(devices, ("expert",)))


def test_the_memory_of_gpus_is_what_the_arena_says(process):
  devices = np.array(
    [FakeDevice(i, local_hardware_id=i) for i in (2, 0, 1, 3)], object
  )
  grid = Mesh(devices.reshape(2, 2), ("expert", "data"))
  buffer = make(grid, timeout_s=1.5)
  assert buffer.backend == "peer_mapped"
  registered = {e[2]: e[3] for e in process.events if e[0] == "register_arena"}
  assert {e[1] for e in process.events if e[0] == "register_arena"} == {
    buffer.handle
  }
  for group in ((2, 1), (0, 3)):
    peers = tuple(registered[ordinal] for ordinal in group)
    for rank, ordinal in enumerate(group):
      fields = process.header(registered[ordinal])
      assert (fields["rank"], fields["peers"]) == (rank, peers)
      assert fields["timeout_ns"] == 1_500_000_000
  assert {e[2] for e in process.cuda.calls("cuMemAlloc")} == {
    -(-buffer.num_bytes // (2 << 20)) * (2 << 20)
  }
  buffer.destroy()
  assert process.cuda.memory == {}
  with pytest.raises(ValueError, match="must not be destroyed"):
    buffer.check_usable()


def test_a_tree_without_the_extension_module_says_so(process, monkeypatch):
  monkeypatch.setattr(
    mega_moe_buffer.launcher, "_failures", [ImportError("no _launch")]
  )
  devices = np.array([FakeDevice(0)], object)
  with pytest.raises(RuntimeError, match="no kernel can be launched"):
    make(Mesh(devices, ("expert",)))
