"""A kernel that uses an arena: reaches peers, counts, reports a fault."""

import jax
import numpy as np

import jax_deepgemm as jd
from jax_deepgemm.heuristics.mega_moe_arena import HEADER_BYTES
from jax_deepgemm.jit import Recipe, headers_fingerprint
from jax_deepgemm.primitives import launch

_SOURCE = """
#include "common/symmetric_arena.cuh"

using jdg::u32;
using jdg::u64;
constexpr u32 kWrite = 0, kCount = 1, kFail = 2;

// `words` is what lies behind the header of `arena`.
extern "C" __global__ void use_arena(const u32* x, u32* y,
                                     jdg::SymmetricArena* arena,
                                     volatile u32* words, u32 mode) {
  if (mode == kWrite) {
    for (u32 rank = 0; rank < arena->num_ranks; ++rank) {
      const u64 behind_header = arena->peers[rank] + %d;
      reinterpret_cast<volatile u32*>(behind_header)[arena->rank] = x[0];
    }
  }
  if (mode == kCount) words[0] = words[0] + 1;
  if (mode == kFail) {
    const u64 board = arena->status_board;
    auto* record = reinterpret_cast<volatile jdg::StatusRecord*>(board);
    record->rank = arena->rank;
    record->epoch = 4;
    record->phase = 2;
    record->awaited_rank = 9;
    record->seen = 2;
    __threadfence_system();
    record->code = 1;
  }
  __threadfence_system();
  for (u32 i = 0; i < 8; ++i) y[i] = words[i];
}
"""
MODES = ("write", "count", "fail", "read")


def recipe() -> Recipe:
  source = _SOURCE % HEADER_BYTES
  return Recipe("use_arena", source, "sm_90a", "", headers_fingerprint())


def use(buffer, x: jax.Array, mode: str) -> jax.Array:
  """Returns eight words behind the header, after what `mode` does with x."""
  params = (
    launch.Buffer(0),
    launch.Buffer(1),
    launch.Buffer(2),
    launch.Buffer(2, offset=HEADER_BYTES),
    launch.Scalar(MODES.index(mode)),
  )
  call = launch.KernelCall(recipe(), (1, 1, 1), (1, 1, 1), 1, 0, False, params)
  return launch.call((call,), [x], [x], arenas=(buffer.handle,))[0]


def run(buffer, device, mode: str, value: int = 0) -> np.ndarray:
  """Returns what one device finds."""
  x = jax.device_put(np.full(8, value, np.uint32), device)
  program = jax.jit(use, static_argnums=(0, 2))
  return np.asarray(program(buffer, x, mode))


def make_buffer(mesh, axis_name="expert", **options):
  """A small buffer."""
  return jd.get_symm_buffer_for_mega_moe(
    mesh,
    axis_name,
    num_experts=8 * len(mesh.devices.flat),
    num_max_tokens_per_rank=64,
    num_topk=2,
    hidden=256,
    intermediate_hidden=128,
    **options,
  )
