// A CUDA driver that runs nothing and remembers every call, as JSON.
//
// A "cubin" here is text: the sizes in bytes of the kernel's parameters, which
// the real driver reads from the real cubin.

#include <cstdint>
#include <cstring>
#include <map>
#include <mutex>
#include <sstream>
#include <string>
#include <vector>

namespace {

struct FakeKernel {
  std::string name;
  std::vector<size_t> sizes;
};

struct FakeFunction {
  const FakeKernel* kernel;
  int device;
};

struct LaunchAttribute {
  int id;
  int padding;
  int value[16];
};

struct LaunchConfig {
  unsigned grid[3], block[3], shared_bytes;
  void* stream;
  const LaunchAttribute* attributes;
  unsigned num_attributes;
};

std::mutex mutex;
std::string events;
std::map<std::string, int> failures;
int capture_status = 0;
thread_local std::vector<int> context_devices;

constexpr intptr_t kContextBase = 1000;  // Context 1000 + i is device i's.

int CurrentDevice() { return context_devices.empty() ? -1 : context_devices.back(); }

// Records `function` with `fields`, JSON; returns the error it is to fail with.
int Record(const char* function, const std::string& fields = "") {
  std::lock_guard<std::mutex> lock(mutex);
  events += events.empty() ? "" : ",";
  events +=
      "{\"call\":\"" + std::string(function) + "\"" + (fields.empty() ? "" : ",") + fields + "}";
  const auto failure = failures.find(function);
  return failure == failures.end() ? 0 : failure->second;
}

template <typename T>
std::string Field(const char* name, const T* values, size_t count) {
  std::ostringstream text;
  text << '"' << name << "\":[";
  for (size_t i = 0; i < count; ++i) text << (i ? "," : "") << +values[i];
  text << ']';
  return text.str();
}

std::string Field(const char* name, intptr_t value) {
  return '"' + std::string(name) + "\":" + std::to_string(value);
}

std::string Hex(const void* data, size_t size) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (size_t i = 0; i < size; ++i) {
    const auto byte = static_cast<const unsigned char*>(data)[i];
    text += {kDigits[byte >> 4], kDigits[byte & 15]};
  }
  return text;
}

}  // namespace

extern "C" {

// Control, for the test.
const char* fake_events() {
  static std::string text;
  std::lock_guard<std::mutex> lock(mutex);
  text = "[" + events + "]";
  return text.c_str();
}

void fake_reset() {
  std::lock_guard<std::mutex> lock(mutex);
  events.clear();
  failures.clear();
  capture_status = 0;
}

void fake_fail(const char* function, int result) {
  std::lock_guard<std::mutex> lock(mutex);
  failures[function] = result;
}

void fake_capture(int status) { capture_status = status; }

// The driver.
int cuInit(unsigned) { return Record("cuInit"); }

int cuGetErrorName(int result, const char** text) {
  *text = result == 1 ? "CUDA_ERROR_INVALID_VALUE" : nullptr;
  return 0;
}

int cuGetErrorString(int result, const char** text) {
  *text = result == 1 ? "invalid argument" : nullptr;
  return 0;
}

int cuDeviceGet(int* device, int ordinal) {
  *device = ordinal;
  return Record("cuDeviceGet", Field("ordinal", ordinal));
}

int cuDevicePrimaryCtxRetain(void** context, int device) {
  *context = reinterpret_cast<void*>(kContextBase + device);
  return Record("cuDevicePrimaryCtxRetain", Field("device", device));
}

int cuCtxGetCurrent(void** context) {
  const int device = CurrentDevice();
  *context = device < 0 ? nullptr : reinterpret_cast<void*>(kContextBase + device);
  return Record("cuCtxGetCurrent");
}

int cuCtxPushCurrent_v2(void* context) {
  const int device = static_cast<int>(reinterpret_cast<intptr_t>(context) - kContextBase);
  const int result = Record("cuCtxPushCurrent", Field("device", device));
  if (result == 0) context_devices.push_back(device);
  return result;
}

int cuCtxPopCurrent_v2(void**) {
  context_devices.pop_back();
  return Record("cuCtxPopCurrent");
}

int cuLibraryLoadData(void** library, const void* image, int*, void**, unsigned, int*, void**,
                      unsigned) {
  auto* kernel = new FakeKernel;
  std::istringstream sizes(static_cast<const char*>(image));
  for (size_t size; sizes >> size;) kernel->sizes.push_back(size);
  *library = kernel;
  return Record("cuLibraryLoadData", Field("sizes", kernel->sizes.data(), kernel->sizes.size()));
}

int cuLibraryGetKernel(void** kernel, void* library, const char* name) {
  static_cast<FakeKernel*>(library)->name = name;
  *kernel = library;
  return Record("cuLibraryGetKernel", "\"name\":\"" + std::string(name) + "\"");
}

int cuKernelGetFunction(void** function, void* kernel) {
  *function = new FakeFunction{static_cast<FakeKernel*>(kernel), CurrentDevice()};
  return Record("cuKernelGetFunction", Field("device", CurrentDevice()));
}

int cuKernelSetAttribute(int attribute, int value, void*, int device) {
  return Record("cuKernelSetAttribute", Field("attribute", attribute) + "," +
                                            Field("value", value) + "," + Field("device", device));
}

int cuStreamIsCapturing(void*, int* status) {
  *status = capture_status;
  return Record("cuStreamIsCapturing");
}

int cuLaunchKernelEx(const LaunchConfig* config, void* function, void** params, void**) {
  const auto& launched = *static_cast<FakeFunction*>(function);
  std::string arguments, attributes;
  for (size_t i = 0; i < launched.kernel->sizes.size(); ++i) {
    arguments += (i ? ",\"" : "\"") + Hex(params[i], launched.kernel->sizes[i]) + "\"";
  }
  for (unsigned i = 0; i < config->num_attributes; ++i) {
    const LaunchAttribute& attribute = config->attributes[i];
    attributes += (i ? ",\"" : "\"") + std::to_string(attribute.id) + "\":[" +
                  std::to_string(attribute.value[0]) + "," + std::to_string(attribute.value[1]) +
                  "," + std::to_string(attribute.value[2]) + "]";
  }
  return Record("cuLaunchKernelEx",
                "\"kernel\":\"" + launched.kernel->name + "\"," +
                    Field("function_device", launched.device) + "," +
                    Field("context_device", CurrentDevice()) + "," +
                    Field("grid", config->grid, 3) + "," + Field("block", config->block, 3) + "," +
                    Field("shared_bytes", config->shared_bytes) + ",\"attributes\":{" + attributes +
                    "},\"arguments\":[" + arguments + "]");
}

int cuTensorMapEncodeTiled(void* map, int dtype, uint32_t rank, void* address, const uint64_t* dims,
                           const uint64_t* strides, const uint32_t* box,
                           const uint32_t* element_strides, int interleave, int swizzle,
                           int l2_promotion, int fill) {
  if (strides == nullptr) return 1;  // The driver crashes, also where rank is 1.
  std::memset(map, 0xab, 128);
  std::memcpy(map, &address, sizeof(address));
  return Record(
      "cuTensorMapEncodeTiled",
      Field("dtype", dtype) + "," + Field("address", reinterpret_cast<intptr_t>(address)) + "," +
          Field("dims", dims, rank) + "," + Field("strides", strides, rank - 1) + "," +
          Field("box", box, rank) + "," + Field("element_strides", element_strides, rank) + "," +
          Field("interleave", interleave) + "," + Field("swizzle", swizzle) + "," +
          Field("l2_promotion", l2_promotion) + "," + Field("fill", fill) + "," +
          Field("aligned", reinterpret_cast<intptr_t>(map) % 64 == 0));
}

}  // extern "C"
