// Votes, shuffles and elections of one warp per case, and a maximum.
#include "ptx/maximum.cuh"
#include "ptx/sync.cuh"
#include "ptx/warp.cuh"

namespace jdg {

constexpr u32 kWarpAnswers = 10;

// Exactly one lane, and the same again.
__device__ __forceinline__ u32 elects_one() {
  const u32 first = ptx::vote_ballot(ptx::elect_one());
  const u32 second = ptx::vote_ballot(ptx::elect_one());
  return first != 0 && (first & (first - 1)) == 0 && first == second;
}

}  // namespace jdg

extern "C" __global__ void __launch_bounds__(32, 1)
    warp_probe(const uint4* inputs, jdg::u32* answers) {
  using namespace jdg;
  ptx::wait_for_previous_kernel();
  const u32 index = blockIdx.x * 32 + threadIdx.x;
  const uint4 input = inputs[index];  // A value, a vote, a lane, and a mask or distance.
  const bool mine = input.y != 0;
  u32* mine_out = answers + index * kWarpAnswers;
  mine_out[0] = ptx::vote_ballot(mine);
  mine_out[1] = ptx::vote_any(mine);
  mine_out[2] = ptx::vote_all(mine);
  mine_out[3] = ptx::shuffle(input.x, input.z);
  mine_out[4] = ptx::shuffle_xor(input.x, input.w);
  mine_out[5] = ptx::shuffle_down(input.x, input.w);
  mine_out[6] = elects_one();
  mine_out[7] = __shfl_sync(0xFFFFFFFF, input.x, input.w);
  mine_out[8] = __float_as_uint(ptx::max_or_nan(__uint_as_float(input.x), 1.0f));
  mine_out[9] = ptx::match_any(input.z % 5);
}
