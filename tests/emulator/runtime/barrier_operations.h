// What asynchronous units do to mbarriers.
#pragma once

#include <cstdint>

namespace jdg::emu {

struct Barrier;
struct Cta;

// Throws if there is none, or its CTA has ended.
Barrier& barrier_at(Cta& cta, uint32_t address);

void arrive(Cta& cta, uint32_t address);

// Counts bytes that were sent while the barrier was in `phase`.
void complete_bytes(Cta& cta, uint32_t address, uint32_t bytes, uint64_t phase);

}  // namespace jdg::emu
