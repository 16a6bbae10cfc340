#include "runtime/launch.h"

#include <cstring>
#include <vector>

#include "runtime/fault.h"
#include "runtime/guarded_buffer.h"
#include "runtime/machine.h"
#include "runtime/tensor_map.h"

namespace jdg::emu {
namespace {

// A CUtensorMap's 128 bytes: here the address of what it says.
struct alignas(64) OpaqueMap {
  const TensorMap* map;
  uint8_t unused[120];
};

// The kernel's arguments, and pointers to them.
struct Arguments {
  explicit Arguments(size_t count) : maps(count), opaque(count), words(count), pointers(count) {}

  std::vector<TensorMap> maps;
  std::vector<OpaqueMap> opaque;
  std::vector<uint64_t> words;
  std::vector<const void*> pointers;
};

TensorMap tensor_map(const JdgParam& param, const GuardedBuffer& buffer) {
  TensorMap map = {};
  if (param.value > buffer.bytes()) throw Error("a tensor map begins behind its buffer");
  map.base = buffer.data() + param.value;
  map.buffer_bytes = buffer.bytes() - param.value;
  map.rank = param.rank;
  map.element = static_cast<Element>(param.element);
  std::memcpy(map.dims, param.dims, sizeof(map.dims));
  std::memcpy(map.strides, param.strides, sizeof(map.strides));
  std::memcpy(map.box, param.box, sizeof(map.box));
  map.swizzle = param.swizzle;
  map.check();
  return map;
}

// Sets argument `i`; returns its size.
size_t set_argument(Arguments& arguments, size_t i, const JdgParam& param,
                    const std::vector<GuardedBuffer>& buffers) {
  arguments.pointers[i] = &arguments.words[i];
  if (param.kind == kJdgScalar) {
    arguments.words[i] = param.value;
    return param.value_bytes;
  }
  const GuardedBuffer& buffer = buffers.at(param.index);
  if (param.kind == kJdgBuffer) {
    arguments.words[i] = reinterpret_cast<uint64_t>(buffer.data() + param.value);
    return sizeof(void*);
  }
  arguments.maps[i] = tensor_map(param, buffer);
  arguments.opaque[i].map = &arguments.maps[i];
  arguments.pointers[i] = &arguments.opaque[i];
  return sizeof(OpaqueMap);
}

void set_arguments(Arguments& arguments, const JdgLaunch& launch,
                   const std::vector<GuardedBuffer>& buffers) {
  const size_t* sizes;
  const size_t count = launch.parameter_bytes(&sizes);
  if (count != launch.num_params) {
    throw Error(format("the kernel has %zu parameters, the launch %u", count, launch.num_params));
  }
  for (size_t i = 0; i < count; ++i) {
    const size_t size = set_argument(arguments, i, launch.params[i], buffers);
    if (size != sizes[i]) {
      throw Error(format("parameter %zu has %zu bytes, the launch gives %zu", i, sizes[i], size));
    }
  }
}

// The buffers, which know each other's addresses.
std::vector<GuardedBuffer> make_buffers(const JdgSystem& system) {
  std::vector<GuardedBuffer> buffers;
  for (uint32_t i = 0; i < system.num_buffers; ++i) {
    const JdgBuffer& buffer = system.buffers[i];
    buffers.emplace_back(buffer.data, buffer.bytes, buffer.device);
  }
  for (uint32_t i = 0; i < system.num_pointers; ++i) {
    const JdgPointer& pointer = system.pointers[i];
    const uint8_t* target = buffers.at(pointer.target).data();
    std::memcpy(buffers.at(pointer.buffer).data() + pointer.offset, &target, sizeof(target));
  }
  return buffers;
}

void run(const JdgSystem& system, uint64_t seed) {
  const std::vector<GuardedBuffer> buffers = make_buffers(system);
  std::vector<Arguments> arguments;
  std::vector<std::vector<Launch>> launches(system.num_devices);
  for (uint32_t i = 0; i < system.num_launches; ++i) {
    const JdgLaunch& launch = system.launches[i];
    arguments.emplace_back(launch.num_params);
    set_arguments(arguments.back(), launch, buffers);
    const Shape shape = {{launch.grid[0], launch.grid[1], launch.grid[2]},
                         launch.cluster,
                         launch.threads,
                         launch.smem_bytes};
    const void* const* params = arguments.back().pointers.data();
    launches.at(launch.device).push_back({shape, launch.invoke, params, launch.roles});
  }
  Machine machine(std::move(launches), seed, system.trace);
  machine.set_buffers(&buffers);
  const FaultHandler faults;
  machine.run();
  for (const GuardedBuffer& buffer : buffers) buffer.write_back();
}

}  // namespace
}  // namespace jdg::emu

int jdg_emulate(const JdgSystem* system, uint64_t seed, char* message, size_t message_bytes) {
  try {
    jdg::emu::run(*system, seed);
    return 0;
  } catch (const std::exception& error) {
    std::strncpy(message, error.what(), message_bytes - 1);
    message[message_bytes - 1] = '\0';
    return 1;
  }
}
