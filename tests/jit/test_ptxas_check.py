"""DG_JIT_PTXAS_CHECK refuses kernels that are slow by accident."""

import dataclasses

import pytest

from jax_deepgemm.jit import CompileError, ptxas
from jax_deepgemm.jit.compiler import compile_kernel

MANY_VALUES = """
extern "C" __global__ void many(float* out, const float* in, int n) {
  float a[64];
#pragma unroll
  for (int i = 0; i < 64; ++i) a[i] = in[i * 128 + threadIdx.x];
  for (int j = 0; j < n; ++j) {
#pragma unroll
    for (int i = 0; i < 64; ++i) a[i] = a[i] * a[(i + 7) % 64] + 1.0f;
  }
#pragma unroll
  for (int i = 0; i < 64; ++i) out[i * 128 + threadIdx.x] = a[i];
}
"""
INDEXED = """
extern "C" __global__ void indexed(float* out, int n) {
  float a[64];
  for (int i = 0; i < 64; ++i) a[(i * n) & 63] = out[i];
  for (int i = 0; i < 64; ++i) out[i] = a[i];
}
"""
WGMMA_WITHOUT_FENCE = """
extern "C" __global__ void serial(float* out, unsigned long long a, int n) {
  float d[4] = {0, 0, 0, 0};
  if (n & 1) {
    for (int i = 0; i < n; ++i) {
      asm volatile(
          "wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 "
          "{%0, %1, %2, %3}, %4, %4, 1, 1, 1, 0, 0;\\n"
          "wgmma.commit_group.sync.aligned;"
          : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]) : "l"(a) : "memory");
      d[1] += out[i];
    }
  }
  if (n & 2) asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
  out[threadIdx.x] += d[0] + d[1] + d[2] + d[3];
}
"""
CLEAN_LOG = """
ptxas info : Function properties for k
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
"""


@pytest.fixture
def checking(settings):
  return dataclasses.replace(settings, ptxas_check=True)


def test_a_kernel_in_registers_passes(make_recipe, checking):
  assert compile_kernel(make_recipe(MANY_VALUES, kernel="many"), checking).cubin


def test_a_spilling_kernel_is_refused(make_recipe, checking, settings):
  recipe = make_recipe(MANY_VALUES, kernel="many", flags="--maxrregcount=32")
  with pytest.raises(CompileError, match=r"(?s)PTXAS_CHECK.*spill stores"):
    compile_kernel(recipe, checking)
  assert compile_kernel(recipe, settings).cubin


def test_an_array_in_local_memory_is_refused(make_recipe, checking):
  with pytest.raises(CompileError, match="256 bytes stack frame"):
    compile_kernel(make_recipe(INDEXED, kernel="indexed"), checking)


def test_serialised_wgmma_is_refused(make_recipe, checking):
  recipe = make_recipe(WGMMA_WITHOUT_FENCE, kernel="serial")
  with pytest.raises(CompileError) as caught:
    compile_kernel(recipe, checking)
  assert "instructions are serialized" in str(caught.value)
  assert "local memory is used" not in str(caught.value)


@pytest.mark.parametrize("code", ["C7508", "C7510", "C7514"])
def test_each_warning_code_is_found(code):
  assert ptxas.complaints(CLEAN_LOG) == []
  line = f"ptxas info : ({code}) something was slow"
  assert ptxas.complaints(CLEAN_LOG + line) == [line]


def test_a_log_without_report_does_not_pass():
  assert ptxas.complaints("") != []
