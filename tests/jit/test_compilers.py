"""NVRTC and NVCC compile recipes, and say clearly why they cannot."""

import dataclasses
import struct

import pytest

from jax_deepgemm.jit import CompileError, CompilerNotFoundError
from jax_deepgemm.jit.compiler import (
  compile_kernel,
  compiler_signature,
  load_compiler,
)

_CUDA_MACHINE = 190

HEADERS = {
  "kernels/add.cuh": '#include "ptx/registers.cuh"\n',
  "ptx/registers.cuh": """
#pragma once
__device__ inline void dealloc_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 40;");
}
struct Sum { int a; int b; constexpr int value() const { return a + b; } };
""",
}
SOURCE = """
#include "kernels/add.cuh"
#include "ptx/registers.cuh"
extern "C" __global__ void __launch_bounds__(128, 1) add(int* out) {
  dealloc_registers();
  *out += Sum{.a = 1, .b = 2}.value();
}
"""


@pytest.fixture(params=["nvrtc", "nvcc"])
def either(request, settings):
  """Settings for each compiler."""
  chosen = dataclasses.replace(settings, use_nvrtc=request.param == "nvrtc")
  if request.param == "nvcc":
    try:
      load_compiler(chosen)
    except CompilerNotFoundError:
      pytest.skip("nvcc is not installed")
  return chosen


def test_an_sm_90a_kernel_with_nested_headers_compiles(make_recipe, either):
  recipe = make_recipe(SOURCE, kernel="add")
  cubin = compile_kernel(recipe, either, HEADERS).cubin
  assert cubin.startswith(b"\x7fELF")
  assert b".text.add\0" in cubin
  assert struct.unpack_from("<H", cubin, 18) == (_CUDA_MACHINE,)


def test_the_architecture_reaches_the_compiler(make_recipe, either):
  recipe = make_recipe(SOURCE, kernel="add", arch="sm_90")
  with pytest.raises(CompileError, match="setmaxnreg"):
    compile_kernel(recipe, either, HEADERS)


def test_flags_reach_the_compiler(make_recipe, either):
  source = "#if A + B != 7\n#error flags are lost\n#endif\n" + SOURCE
  recipe = make_recipe(source, kernel="add", flags="-DA=3 -DB=4")
  assert compile_kernel(recipe, either, HEADERS).cubin


def test_the_cpp_standard_reaches_the_compiler(make_recipe, either):
  source = "#if __cplusplus != 201703L\n#error another standard\n#endif\n"
  recipe = make_recipe(source + SOURCE, kernel="add")
  with pytest.raises(CompileError, match="another standard"):
    compile_kernel(recipe, either, HEADERS)
  old = dataclasses.replace(either, cpp_standard=17)
  recipe = make_recipe(source, kernel="nothing")
  assert compile_kernel(recipe, old).cubin


def test_line_numbers_are_embedded_on_request(make_recipe, either):
  recipe = make_recipe()
  with_lines = dataclasses.replace(either, with_lineinfo=True)
  assert b"debug_line" in compile_kernel(recipe, with_lines).cubin
  assert b"debug_line" not in compile_kernel(recipe, either).cubin


def test_a_compile_error_shows_options_log_and_numbered_source(
  make_recipe, either
):
  recipe = make_recipe(SOURCE + "int broken = missing_name;\n", kernel="add")
  with pytest.raises(CompileError) as caught:
    compile_kernel(recipe, either, HEADERS)
  text = str(caught.value)
  assert "sm_90a" in text
  assert "--std=c++20" in text
  assert compiler_signature(either) in text
  assert 'identifier "missing_name" is undefined' in text
  assert "8 | int broken = missing_name;" in text


def test_an_unknown_option_is_a_compile_error(make_recipe, either):
  with pytest.raises(CompileError, match="no-such-option"):
    compile_kernel(make_recipe(flags="--no-such-option"), either)


def test_the_command_is_printed_on_request(make_recipe, either, capfd):
  compile_kernel(make_recipe(), either)
  assert capfd.readouterr().out == ""
  loud = dataclasses.replace(either, print_compiler_command=True)
  compile_kernel(make_recipe(flags="-DA=1"), loud)
  out = capfd.readouterr().out
  assert "sm_90a" in out
  assert "-DA=1" in out
  assert out.count("\n") == 1


def test_registers_are_printed_on_request(make_recipe, either, capfd):
  loud = dataclasses.replace(either, ptxas_verbose=True)
  compile_kernel(make_recipe(), loud)
  assert "registers" in capfd.readouterr().out


def test_the_signature_names_compiler_and_version(either):
  name = "nvrtc" if either.use_nvrtc else "nvcc"
  signature = compiler_signature(either)
  assert signature.startswith(name)
  assert any(map(str.isdigit, signature))
