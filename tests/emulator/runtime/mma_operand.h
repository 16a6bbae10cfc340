// The operands of a wgmma: where they are, and their values.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "runtime/api.h"
#include "runtime/shared_memory.h"

namespace jdg::emu {

constexpr int kWarpRows = 16;
constexpr int kDepthBytes = 32;  // Of one product, whatever the type.

// A warp's part of A: what its registers held when the product was issued.
using Fragment = std::array<std::array<uint32_t, 4>, 32>;

constexpr int element_bytes(MmaType type) {
  return type == MmaType::kE4m3 ? 1 : type == MmaType::kBf16 ? 2 : 4;
}

constexpr int depth(MmaType type) { return kDepthBytes / element_bytes(type); }

// Values [depth, count] of rows `first` ... of an operand in shared memory.
std::vector<float> values_in_memory(const SharedMemory& smem, MmaType type, uint64_t descriptor,
                                    bool transposed, uint32_t first, uint32_t count);

// Values [depth, kWarpRows] of A in registers.
std::vector<float> values_in_registers(MmaType type, const Fragment& fragment);

}  // namespace jdg::emu
