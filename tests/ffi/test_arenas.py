"""Memory beside operands and results: where it lies, and what it reports."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_deepgemm import ffi
from jax_deepgemm.primitives.kernel_call import Buffer, TensorMap
from tests.ffi.fake_launcher import launch, run

HANDLE = 7
MAP = TensorMap(0, "u8", (256, 8), (256,), (128, 8), 128)
# code, rank, epoch, phase, awaited rank, seen, expected
LATE = (1, 0, 4, 2, 1, 2, 4)
STOPPED = (2, 1, 4, 3, 0, 3, 4)
RESHAPED = (3, 2, 9, 1, 3, 17, 18)


@pytest.fixture
def arena():
  """An arena on every device: 4096 bytes apart, at made-up addresses."""
  for device in jax.devices():
    ffi.register_arena(HANDLE, device.id, address(device.id))
  yield HANDLE
  ffi.unregister_arena(HANDLE)


@pytest.fixture
def board(arena):
  """The status records of four ranks, all clear."""
  records = np.zeros((4, 16), np.uint32)
  ffi.set_arena_board(arena, records.ctypes.data, len(records))
  yield records
  ffi.unregister_arena(arena)


def address(ordinal: int) -> int:
  return 0x7F00_0000_0000 + 4096 * ordinal


def report(board: np.ndarray, row: int, record: tuple[int, ...]) -> None:
  board[row, : len(record)] = record


def error_of(call, *operands, arenas=(HANDLE,)) -> str:
  with pytest.raises(jax.errors.JaxRuntimeError) as info:
    run(call, *operands, arenas=arenas)
  return str(info.value)


def test_arenas_follow_the_results_on_every_device(driver, make_call, arena):
  params = (Buffer(2), Buffer(2, offset=2**33), Buffer(0, offset=8))
  call = make_call(params, "8 8 8")
  for device in jax.devices():
    driver.reset()
    x = jax.device_put(jnp.zeros(4), device)
    run(call, x, arenas=(arena,))
    own = address(device.id)
    expected = [own, own + 2**33, x.unsafe_buffer_pointer() + 8]
    arguments = driver.launches()[0]["arguments"]
    assert arguments == [a.to_bytes(8, "little").hex() for a in expected]


def test_a_map_begins_at_its_offset(driver, make_call, arena):
  beside = dataclasses.replace(MAP, index=2, offset=4096)
  run(make_call((beside, MAP), "128 128"), jnp.zeros(4), arenas=(arena,))
  first, second = driver.calls("cuTensorMapEncodeTiled")
  assert first["address"] == address(0) + 4096
  assert second["address"] != address(0)


@pytest.mark.parametrize("param", [Buffer(0), MAP])
def test_an_offset_is_not_negative(driver, make_call, param):
  call = make_call((dataclasses.replace(param, offset=-16),), "128")
  text = error_of(call, jnp.zeros(4), arenas=())
  assert "parameter 0: attribute 'offset' is -16, out of range" in text


def test_a_destroyed_buffer_is_named(driver, make_call, arena):
  call = make_call((Buffer(1),), "8")
  run(call, arenas=(arena,))
  ffi.unregister_arena(arena)
  text = error_of(call)
  assert "symmetric buffer 7 on device 0: " in text
  assert "was destroyed, or does not cover this device" in text
  assert len(driver.launches()) == 1


def test_a_buffer_of_another_device_is_not_taken(driver, make_call):
  ffi.register_arena(HANDLE, 1, address(1))
  ffi.register_arena(HANDLE - 1, 0, address(0))
  try:
    text = error_of(make_call((Buffer(1),), "8"))
  finally:
    ffi.unregister_arena(HANDLE)
    ffi.unregister_arena(HANDLE - 1)
  assert "symmetric buffer 7 on device 0: " in text


@pytest.mark.parametrize(
  ("record", "expected"),
  [
    (
      LATE,
      "ABORTED: mega_moe: rank 0, call 4, timed out waiting for 'rows' of rank"
      " 1 (saw call 2)",
    ),
    (
      STOPPED,
      "ABORTED: mega_moe: rank 1, call 4, stopped in 'results' because rank 0"
      " gave up",
    ),
    (
      RESHAPED,
      "ABORTED: mega_moe: rank 2, call 9, has another shape than that of rank"
      " 3 (hash 17, expected 18)",
    ),
    ((4, 2, 9), "ABORTED: mega_moe: rank 2, call 9, reported fault 4"),
  ],
)
def test_a_fault_is_told_by_the_next_run(
  driver, make_call, board, record, expected
):
  call = make_call((Buffer(1),), "8")
  report(board, record[1], record)
  assert ffi.arena_fault(HANDLE) == expected.removeprefix("ABORTED: ")
  assert expected in error_of(call)
  assert driver.launches() == []
  board[:] = 0
  assert ffi.arena_fault(HANDLE) == ""
  run(call, arenas=(HANDLE,))
  assert len(driver.launches()) == 1


def test_the_cause_is_told_rather_than_its_consequence(
  driver, make_call, board
):
  report(board, 1, STOPPED)
  report(board, 3, LATE)
  assert "timed out" in error_of(make_call((Buffer(1),), "8"))


def test_a_run_is_refused_as_a_whole_or_not_at_all(driver, make_call, board):
  call = make_call((Buffer(2),), "8")

  def fail(x):
    report(board, 0, LATE)
    return x

  @jax.jit
  def program(x):
    (y,) = launch(call, x, arenas=(HANDLE,))
    y = jax.pure_callback(fail, jax.ShapeDtypeStruct((4,), np.float32), y)
    return launch(call, y, arenas=(HANDLE,))

  jax.block_until_ready(program(jnp.zeros(4)))
  assert len(driver.launches()) == 2
  # With a callback in the program JAX raises XLA's error under another name.
  with pytest.raises((ValueError, RuntimeError), match="timed out"):
    jax.block_until_ready(program(jnp.zeros(4)))
  assert len(driver.launches()) == 2


def test_a_fault_concerns_calls_of_its_buffer_alone(driver, make_call, board):
  report(board, 0, LATE)
  run(make_call())
  assert len(driver.launches()) == 1


def test_an_ordinal_beyond_the_tables_is_refused():
  with pytest.raises(RuntimeError, match="device ordinal 64 is not in"):
    ffi.register_arena(HANDLE, 64, address(0))
