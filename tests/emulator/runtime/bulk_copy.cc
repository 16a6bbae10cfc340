// TMA: boxes between global memory and the async view of shared memory.
#include <algorithm>
#include <cstring>

#include "runtime/api.h"
#include "runtime/barrier_operations.h"
#include "runtime/element.h"
#include "runtime/machine.h"
#include "runtime/tensor_map.h"

namespace jdg::emu {
namespace {

using Position = std::vector<int32_t>;

constexpr uint32_t kChunk = 16;  // Bytes that a swizzle moves as one.

const TensorMap& map_at(const void* opaque, const Coordinates& coordinates) {
  if (reinterpret_cast<uintptr_t>(opaque) % 64 != 0) throw Error("a tensor map is not aligned");
  const TensorMap* map;
  std::memcpy(&map, opaque, sizeof(map));
  if (static_cast<int>(coordinates.size()) != map->rank) {
    throw Error(
        format("%zu coordinates for a tensor map of rank %d", coordinates.size(), map->rank));
  }
  if (!machine().self().previous_kernel_done) {
    throw Error("uses global memory before it waits for the previous kernel");
  }
  // An illegal instruction on a GPU.
  if (*coordinates.begin() * element_bytes(map->element) % kChunk != 0) {
    throw Error(format("a box at element %d of its rows, which is not a multiple of 16 bytes",
                       static_cast<int32_t>(*coordinates.begin())));
  }
  return *map;
}

// Rows [begin, end) of a box arrive in shared memory.
void load_rows(Cta& cta, uint32_t address, const TensorMap& map, const Position& position,
               uint32_t begin, uint32_t end) {
  std::vector<uint8_t> line(map.row_bytes());
  for (uint32_t r = begin; r < end; ++r) {
    const TensorMap::Row row = map.row(position, r);
    std::memset(line.data(), 0, line.size());
    if (row.begin < row.end) {
      std::memcpy(&line[row.begin], row.data + row.begin, row.end - row.begin);
    }
    for (uint32_t x = 0; x < line.size(); x += kChunk) {
      const uint32_t target = map.swizzled(address + r * map.row_bytes() + x);
      cta.smem.write_async(target, &line[x], kChunk, "a TMA load");
    }
  }
}

void start_load(Cta& cta, uint32_t address, const TensorMap& map, uint32_t barrier,
                const Position& position) {
  Barrier& target = barrier_at(cta, barrier);
  if (!target.is_visible) throw Error("the initialisation of the mbarrier is not fenced");
  cta.smem.check(address, map.box_bytes(), 128, "a TMA load");
  // From now on the old bytes may be gone.
  cta.smem.poison(address, map.box_bytes());
  const uint64_t phase = target.phase;
  // The hardware writes and counts a box in pieces.
  const uint32_t half = static_cast<uint32_t>(machine().random().below(map.num_rows()));
  const auto piece = [&cta, &map, address, barrier, position, phase](uint32_t begin, uint32_t end) {
    return [=, &cta, &map] {
      const uint32_t bytes = (end - begin) * map.row_bytes();
      barrier_at(cta, barrier).record(address, map.box_bytes(), phase);
      load_rows(cta, address, map, position, begin, end);
      complete_bytes(cta, barrier, bytes, phase);
    };
  };
  if (half > 0) machine().later(piece(0, half));
  machine().later(piece(half, map.num_rows()));
}

// Rows of a box as shared memory has them now.
std::vector<uint8_t> read_box(const Cta& cta, uint32_t address, const TensorMap& map) {
  std::vector<uint8_t> box(map.box_bytes());
  for (uint32_t x = 0; x < box.size(); x += kChunk) {
    const uint32_t source = map.swizzled(address + x);
    std::memcpy(&box[x], cta.smem.read_async(source, kChunk, "a TMA store"), kChunk);
  }
  return box;
}

// Throws if what will be stored is undefined; the rest of a box does not matter.
void check_box(const Cta& cta, uint32_t address, const TensorMap& map, const Position& position) {
  const uint32_t size = element_bytes(map.element);
  for (uint32_t r = 0; r < map.num_rows(); ++r) {
    const TensorMap::Row row = map.row(position, r);
    for (uint32_t x = row.begin; x < row.end; x += size) {
      const uint32_t source = address + r * map.row_bytes() + x;
      const uint32_t in_chunk = source % kChunk;
      cta.smem.check_async(map.swizzled(source - in_chunk) + in_chunk, size, "a TMA store");
    }
  }
}

void write_box(const std::vector<uint8_t>& box, const TensorMap& map, const Position& position,
               bool adds) {
  for (uint32_t r = 0; r < map.num_rows(); ++r) {
    const TensorMap::Row row = map.row(position, r);
    if (row.begin >= row.end) continue;
    uint8_t* target = row.data + row.begin;
    const uint8_t* source = &box[r * map.row_bytes() + row.begin];
    const uint32_t count = row.end - row.begin;
    if (adds) {
      add_elements(map.element, target, source, count);
    } else {
      std::memcpy(target, source, count);
    }
  }
}

void start_store(const void* opaque, uint32_t address, const Coordinates& coordinates, bool adds) {
  const TensorMap& map = map_at(opaque, coordinates);
  Thread& self = machine().self();
  Cta& cta = *self.cta;
  cta.smem.check(address, map.box_bytes(), 128, "a TMA store");
  for (const uint32_t x : coordinates) {
    if (static_cast<int32_t>(x) < 0) {
      throw Error("a TMA store at a negative coordinate, which an H200 was seen to refuse");
    }
  }
  // An H200 writes the 16 bytes in which a row ends as a whole.
  if (map.dims[0] * element_bytes(map.element) % kChunk != 0) {
    throw Error("a TMA store to rows that do not end at a multiple of 16 bytes");
  }
  const Position position(coordinates.begin(), coordinates.end());
  auto box = std::make_shared<std::vector<uint8_t>>();
  EventPtr read = machine().later([=, &cta, &map] {
    *box = read_box(cta, address, map);
    check_box(cta, address, map, position);
  });
  EventPtr write = machine().later([=, &map] { write_box(*box, map, position, adds); }, {read});
  self.open_stores.push_back({read, write});
}

}  // namespace

void prefetch_tensor_map(const void*) { JDG_ENTER(); }

void tma_load(uint32_t address, const void* map, uint32_t barrier, Coordinates coordinates) {
  JDG_ENTER();
  const Position position(coordinates.begin(), coordinates.end());
  start_load(*machine().self().cta, address, map_at(map, coordinates), barrier, position);
}

void tma_load_multicast(uint32_t address, const void* map, uint32_t barrier, uint32_t ctas,
                        Coordinates coordinates) {
  JDG_ENTER();
  const Position position(coordinates.begin(), coordinates.end());
  for (uint32_t rank = 0; ctas >> rank != 0; ++rank) {
    if ((ctas >> rank & 1) == 0) continue;
    start_load(machine().peer(rank), address, map_at(map, coordinates), barrier, position);
  }
}

void tma_store(const void* map, uint32_t address, Coordinates coordinates) {
  JDG_ENTER();
  machine().needs_one_device();
  start_store(map, address, coordinates, false);
}

void tma_store_add(const void* map, uint32_t address, Coordinates coordinates) {
  JDG_ENTER();
  machine().needs_one_device();
  start_store(map, address, coordinates, true);
}

void tma_store_commit() {
  JDG_ENTER();
  Thread& self = machine().self();
  self.closed_stores.push_back(std::move(self.open_stores));
  self.open_stores.clear();
}

void tma_store_wait(uint32_t pending, bool only_reads) {
  JDG_ENTER();
  auto& groups = machine().self().closed_stores;
  const size_t num_done = groups.size() - std::min<size_t>(groups.size(), pending);
  for (size_t i = 0; i < num_done; ++i) {
    for (const Store& store : groups[i]) {
      machine().events().fire(only_reads ? store.read : store.write);
    }
  }
  // A later wait for the writes must know those that are still under way.
  const auto is_done = [](const Store& store) { return store.write->done(); };
  while (!groups.empty() && std::all_of(groups[0].begin(), groups[0].end(), is_done)) {
    groups.erase(groups.begin());
  }
}

}  // namespace jdg::emu
