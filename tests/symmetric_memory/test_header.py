"""What the host writes is what kernels read."""

import struct

import pytest

from jax_deepgemm import jit
from jax_deepgemm.jit.compiler import compile_kernel
from jax_deepgemm.symmetric_memory import header


def word(data: bytes, name: str, form: str = "I") -> int:
  return struct.unpack_from(f"<{form}", data, header.OFFSETS[name])[0]


def test_every_field_is_at_its_offset():
  peers = [0x7F00_0000_0000 + (i << 32) for i in range(3)]
  data = header.pack(2, peers, timeout_ns=2**40 + 1, status_board=2**47 + 2)
  assert len(data) == 4096
  fields = ("magic", "rank", "num_ranks", "abort", "epoch", "grid_barrier")
  values = [word(data, name) for name in fields]
  assert values == [0x4A444741, 2, 3, 0, 0, 0]
  assert word(data, "timeout_ns", "Q") == 2**40 + 1
  assert word(data, "status_board", "Q") == 2**47 + 2
  offset = header.OFFSETS["peers"]
  assert struct.unpack_from("<64Q", data, offset) == (*peers, *[0] * 61)
  assert data[offset + 8 * 64 :] == bytes(4096 - offset - 8 * 64)


def test_cuda_has_the_same_offsets(tmp_path):
  pytest.importorskip("cuda.bindings.nvrtc")
  records = ("code", "rank", "epoch", "phase", "awaited_rank", "seen")
  offsets = {
    **{f"SymmetricArena, {k}": v for k, v in header.OFFSETS.items()},
    **{f"StatusRecord, {k}": 4 * i for i, k in enumerate(records)},
    "StatusRecord, expected": 24,
  }
  lines = [
    f"static_assert(__builtin_offsetof(jdg::{field}) == {offset});"
    for field, offset in offsets.items()
  ]
  text = "\n".join(
    [
      '#include "common/symmetric_arena.cuh"',
      *lines,
      f"static_assert(jdg::kArenaMagic == {header.MAGIC});",
      f"static_assert(jdg::kMaxArenaRanks == {header.MAX_RANKS});",
      'extern "C" __global__ void offsets() {}',
    ]
  )
  recipe = jit.Recipe("offsets", text, "sm_90a")
  settings = jit.JitSettings(cache_dir=str(tmp_path))
  assert compile_kernel(recipe, settings).cubin
