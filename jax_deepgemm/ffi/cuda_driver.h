// The part of the CUDA driver API that launching a kernel takes.
//
// The declarations mirror cuda.h of CUDA 12.0 to 13.x, so that building needs
// no CUDA headers and one binary serves every driver since 12.0; the functions
// are found at run time. tests/ffi compares the numbers with NVIDIA's own
// bindings.

#ifndef JAX_DEEPGEMM_FFI_CUDA_DRIVER_H_
#define JAX_DEEPGEMM_FFI_CUDA_DRIVER_H_

#include <cstddef>
#include <cstdint>
#include <string>

namespace jax_deepgemm::cuda {

using Result = int;
using Device = int;
using Context = struct ContextHandle*;
using Stream = struct StreamHandle*;
using Library = struct LibraryHandle*;
using Kernel = struct KernelHandle*;
using Function = struct FunctionHandle*;

inline constexpr int kMaxDynamicSharedSizeBytes = 8;      // CUfunction_attribute
inline constexpr int kNonPortableClusterSize = 14;        // CUfunction_attribute
inline constexpr int kClusterDimension = 4;               // CUlaunchAttributeID
inline constexpr int kProgrammaticSerialization = 6;      // CUlaunchAttributeID
inline constexpr int64_t kDefaultSharedBytes = 48 << 10;  // Allowed unasked.
inline constexpr int64_t kPortableClusterSize = 8;        // Allowed unasked.

// CUtensorMap. CUDA 13 aligns it to 128 bytes, CUDA 12 to 64.
struct alignas(128) TensorMap {
  uint64_t opaque[16];
};

// CUlaunchAttribute.
struct LaunchAttribute {
  union Value {
    char reserved[64];
    unsigned int cluster[3];
    int programmatic_serialization;
  };
  int id;
  char padding[4];
  Value value;
};
static_assert(sizeof(LaunchAttribute) == 72);

// CUlaunchConfig.
struct LaunchConfig {
  unsigned int grid[3];
  unsigned int block[3];
  unsigned int shared_bytes;
  Stream stream;
  LaunchAttribute* attributes;
  unsigned int num_attributes;
};
static_assert(sizeof(LaunchConfig) == 56);
static_assert(offsetof(LaunchConfig, stream) == 32);

// The entry points, each under its own name. A trailing _v2 is the symbol that
// cuda.h maps the plain name to.
struct Driver {
  Result (*cuInit)(unsigned int flags);
  Result (*cuGetErrorName)(Result, const char** text);
  Result (*cuGetErrorString)(Result, const char** text);
  Result (*cuDeviceGet)(Device*, int ordinal);
  Result (*cuDevicePrimaryCtxRetain)(Context*, Device);
  Result (*cuCtxGetCurrent)(Context*);
  Result (*cuCtxPushCurrent_v2)(Context);
  Result (*cuCtxPopCurrent_v2)(Context*);
  Result (*cuLibraryLoadData)(Library*, const void* image, int* jit_options, void** jit_values,
                              unsigned int num_jit_options, int* options, void** values,
                              unsigned int num_options);
  Result (*cuLibraryGetKernel)(Kernel*, Library, const char* name);
  Result (*cuKernelGetFunction)(Function*, Kernel);
  Result (*cuKernelSetAttribute)(int attribute, int value, Kernel, Device);
  Result (*cuLaunchKernelEx)(const LaunchConfig*, Function, void** params, void** extra);
  Result (*cuStreamIsCapturing)(Stream, int* status);
  Result (*cuTensorMapEncodeTiled)(TensorMap*, int dtype, uint32_t rank, void* address,
                                   const uint64_t* dims, const uint64_t* strides,
                                   const uint32_t* box, const uint32_t* element_strides,
                                   int interleave, int swizzle, int l2_promotion,
                                   int out_of_bounds_fill);

  // A library named by SetDriverPath, which may run on a host without streams.
  bool is_substitute;
};

// Returns the driver, loading it at the first call. Throws std::runtime_error
// if the library or one of the functions is missing; the next call tries again.
const Driver& LoadedDriver();

// Replaces "libcuda.so.1", for tests on a machine without CUDA. Throws
// std::runtime_error once a driver is loaded.
void SetDriverPath(std::string path);

// Returns "<function> failed: <the driver's name of the error> (<its text>)".
std::string ErrorText(const Driver& driver, Result result, const char* function);

// Throws std::runtime_error with that text unless `result` is success.
void Check(const Driver& driver, Result result, const char* function);

}  // namespace jax_deepgemm::cuda

#endif  // JAX_DEEPGEMM_FFI_CUDA_DRIVER_H_
