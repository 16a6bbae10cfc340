// Shared memory of other CTAs. Stores happen at any moment until the cluster's barrier or a
// releasing arrival.
#include <cstring>

#include "runtime/api.h"
#include "runtime/barrier_operations.h"
#include "runtime/machine.h"

namespace jdg::emu {
namespace {

// An address in the cluster has the CTA's rank, counted from 1, above these bits; without one it
// is an address of the CTA itself.
constexpr uint32_t kAddressBits = 24;

struct Place {
  Cta* cta;
  uint32_t address;
};

Place place_of(uint32_t mapped) {
  const uint32_t address = mapped & ((1u << kAddressBits) - 1);
  Cta& own = *machine().self().cta;
  if (mapped == address) return {&own, address};
  return {&machine().peer((mapped >> kAddressBits) - 1), address};
}

void check_alive(const Cta& cta) {
  if (cta.num_live == 0) {
    throw Error(format("touches shared memory of CTA %u, which has ended", cta.index));
  }
}

Place check_place(uint32_t mapped, uint32_t bytes, const char* what) {
  const Place place = place_of(mapped);
  if (place.cta != machine().self().cta && place.cta->cluster->phase == 0) {
    throw Error(
        format("%s: CTA %u may not have started, the cluster has not met", what, place.cta->index));
  }
  check_alive(*place.cta);
  place.cta->smem.check(place.address, bytes, bytes, what);
  return place;
}

uint32_t load_word(const Place& place) {
  uint32_t value;
  std::memcpy(&value, place.cta->smem.read_generic(place.address), sizeof(value));
  return value;
}

}  // namespace

uint32_t map_to_cta(uint32_t address, uint32_t rank) {
  machine().peer(rank);
  return (rank + 1) << kAddressBits | address;
}

uint32_t load_cluster(uint32_t mapped) {
  JDG_ENTER();
  // A thread sees its own stores.
  machine().settle_signals();
  return load_word(check_place(mapped, 4, "ld.shared::cluster"));
}

void store_cluster(uint32_t mapped, uint32_t value, bool adds) {
  JDG_ENTER();
  const Place place = check_place(mapped, 4, "st.shared::cluster");
  auto& signals = machine().self().signals;
  // Stores of one thread keep their order.
  signals.push_back(machine().later(
      [=] {
        check_alive(*place.cta);
        const uint32_t stored = adds ? load_word(place) + value : value;
        place.cta->smem.write_generic(place.address, &stored, 4, "st.shared::cluster");
      },
      signals));
}

void store_async(uint32_t mapped, std::initializer_list<uint32_t> values, uint32_t mapped_barrier) {
  JDG_ENTER();
  const std::vector<uint32_t> words(values);
  const uint32_t bytes = static_cast<uint32_t>(words.size() * sizeof(uint32_t));
  const Place place = check_place(mapped, bytes, "st.async");
  const Place barrier = check_place(mapped_barrier, 8, "st.async");
  if (place.cta != barrier.cta) throw Error("st.async: data and mbarrier lie in different CTAs");
  const Barrier& target = barrier_at(*barrier.cta, barrier.address);
  if (!target.is_visible) throw Error("the initialisation of the mbarrier is not fenced");
  // From now on the old bytes may be gone.
  place.cta->smem.poison(place.address, bytes);
  const uint64_t phase = target.phase;
  machine().later([=] {
    barrier_at(*barrier.cta, barrier.address).record(place.address, bytes, phase);
    place.cta->smem.write_generic(place.address, words.data(), bytes, "st.async");
    complete_bytes(*barrier.cta, barrier.address, bytes, phase);
  });
}

void settle_remote_stores() {
  JDG_ENTER();
  machine().settle_signals();
}

}  // namespace jdg::emu
