"""Kernels of a few lines, for tests of what the emulator says about them."""

import dataclasses

import numpy as np

from jax_deepgemm.jit import Recipe
from jax_deepgemm.primitives.kernel_call import Buffer, KernelCall, TensorMap
from tests.emulator.emulator import Emulator, Thread

ROLES = ("producer", "consumer", "idle", "idle")
NUM_FLOATS = 256 + 1  # Not a multiple of what buffers are aligned to.
ROW_BYTES = 128

# Names what reports then call it, and where its lines start.
_SOURCE = """#include "common/pipeline.cuh"
#include "mma/sm90_fp8.cuh"
#include "ptx/copy.cuh"
#include "ptx/sync.cuh"
#include "ptx/tma.cuh"

JDG_DEFINE_WGMMA_E4M3(8)

namespace jdg {

struct Smem {
  alignas(1024) float rows[2][32];
  alignas(1024) float zeros[64 * 32];
  ptx::Mbarrier full;
  ptx::Mbarrier empty;
};

__device__ __forceinline__ void run(const ptx::TensorMap& in_map,
                                    const ptx::TensorMap& out_map,
                                    const float* in, float* out) {
  extern __shared__ __align__(1024) u8 smem_bytes[];
  Smem& smem = *reinterpret_cast<Smem*>(smem_bytes);
  const u32 warp = threadIdx.x / 32;
  const u32 lane = threadIdx.x % 32;
  const bool producer = threadIdx.x == 0;
  const bool consumer = threadIdx.x == 32;
  if (producer) {
    ptx::mbarrier_init(smem.full, 1);
    ptx::mbarrier_init(smem.empty, 1);
    ptx::mbarrier_init_fence();
  }
  __syncthreads();
  ptx::wait_for_previous_kernel();
#line 1 "tiny.cuh"
BODY
}

}  // namespace jdg

extern "C" __global__ void tiny(const __grid_constant__ jdg::ptx::TensorMap in,
                                const __grid_constant__ jdg::ptx::TensorMap out,
                                const float* in_data, float* out_data) {
  jdg::run(in, out, in_data, out_data);
}
"""
_SMEM_BYTES = 1024 + 64 * 128 + 16


@dataclasses.dataclass(frozen=True)
class TinyKernel:
  """A kernel of four warps that has barriers, two tensor maps and `body`."""

  body: str
  out_columns: int = 32

  def line(self, text: str) -> int:
    """Returns the one line of the body that has `text`."""
    (line,) = (
      number
      for number, line in enumerate(self.body.split("\n"), start=1)
      if text in line
    )
    return line

  def run(self, emulator: Emulator, seed: int) -> np.ndarray:
    """Returns what it writes to `out`."""
    rows = ((ROW_BYTES, 8 * ROW_BYTES), (32, 1, 1), 0)
    call = KernelCall(
      recipe=Recipe("tiny", _SOURCE.replace("BODY", self.body), "sm_90a"),
      grid=(1, 1, 1),
      cluster=(1, 1, 1),
      threads=128,
      smem_bytes=_SMEM_BYTES,
      pdl=False,
      params=(
        TensorMap(0, "f32", (32, 8, 1), *rows),
        TensorMap(1, "f32", (self.out_columns, 8, 1), *rows),
        Buffer(0),
        Buffer(1),
      ),
    )
    out = np.full(NUM_FLOATS, -1, np.float32)
    emulator.run(call, [np.arange(NUM_FLOATS, dtype=np.float32), out], seed)
    return out


def emulator(toolchain, traced: Thread | None = None) -> Emulator:
  """Returns one that knows the kernels' roles."""
  result = Emulator(toolchain, roles=lambda kernel: ROLES)
  result.traced = traced
  return result
