// In the place of experts: (row + its expert) times its weight.
#include "ptx/copy.cuh"
#include "ptx/sync.cuh"

namespace jdg {

__device__ __forceinline__ float value_of(const u8* rows, u64 index, bool is_bf16) {
  if (!is_bf16) return rows[index];
  const u32 bits = reinterpret_cast<const unsigned short*>(rows)[index];
  return __uint_as_float(bits << 16);
}

}  // namespace jdg

extern "C" __global__ void __launch_bounds__(64, 1)
    stand_in_experts(const int* group_sizes, const jdg::u8* rows, const float* scales,
                     const float* weights, const jdg::u64* row_addresses, jdg::u32 num_experts,
                     jdg::u32 hidden, jdg::u32 capacity) {
  using namespace jdg;
  ptx::wait_for_previous_kernel();
  const bool is_bf16 = scales == nullptr;
  u32 row = 0;
  for (u32 e = 0; e < num_experts; ++e) {
    for (const u32 end = row + group_sizes[e]; row < end; ++row) {
      if (row % gridDim.x != blockIdx.x) continue;
      unsigned short* out = reinterpret_cast<unsigned short*>(row_addresses[row]);
      for (u32 i = threadIdx.x; i < hidden; i += 64) {
        const u64 index = static_cast<u64>(row) * hidden + i;
        float value = value_of(rows, index, is_bf16) + static_cast<float>(e);
        if (!is_bf16) value *= scales[i / 128 * capacity + row];
        out[i] = static_cast<unsigned short>(ptx::pack_bfloat16(value * weights[row], 0));
      }
    }
  }
}
