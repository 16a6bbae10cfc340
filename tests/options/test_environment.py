"""The DG_* environment variables."""

import dataclasses
import os

import pytest

from jax_deepgemm import environment

FLAGS = {
  "DG_JIT_PRINT_COMPILER_COMMAND": "print_compiler_command",
  "DG_JIT_PTXAS_VERBOSE": "ptxas_verbose",
  "DG_JIT_PTXAS_CHECK": "ptxas_check",
  "DG_JIT_WITH_LINEINFO": "with_lineinfo",
  "DG_JIT_DUMP_ASM": "dump_asm",
  "DG_JIT_DUMP_PTX": "dump_ptx",
  "DG_JIT_DUMP_SASS": "dump_sass",
  "DG_JIT_PRINT_LOAD_TIME": "print_load_time",
  "DG_JIT_DEBUG": "debug",
}


def test_nothing_set_gives_the_defaults():
  found = environment.read({})
  assert found.jit.use_nvrtc
  assert found.jit.cpp_standard == 20
  assert found.jit.nvcc is None
  assert found.jit.cache_dir == os.path.expanduser("~/.jax_deepgemm")
  assert not found.jit.cache_dir_is_explicit
  assert not any(getattr(found.jit, field) for field in FLAGS.values())
  assert (found.debug, found.print_configs, found.use_nvidia_tools) == (
    False,
    False,
    False,
  )


@pytest.mark.parametrize(("variable", "field"), FLAGS.items())
def test_a_flag_reaches_its_field_alone(variable, field):
  expected = dataclasses.replace(environment.read({}).jit, **{field: True})
  assert environment.read({variable: "1"}).jit == expected
  assert environment.read({variable: "0"}) == environment.read({})


@pytest.mark.parametrize(
  ("variables", "field", "value"),
  [
    ({"DG_JIT_USE_NVRTC": "0"}, "use_nvrtc", False),
    ({"DG_JIT_NVCC_COMPILER": "/opt/nvcc"}, "nvcc", "/opt/nvcc"),
    ({"DG_JIT_CPP_STANDARD": "17"}, "cpp_standard", 17),
    ({"CUDA_HOME": "/opt/cuda"}, "cuda_home", "/opt/cuda"),
    ({"CUDA_PATH": "/opt/cuda"}, "cuda_home", "/opt/cuda"),
    ({"PATH": "/bin:/sbin"}, "search_path", "/bin:/sbin"),
  ],
)
def test_a_value_reaches_its_field(variables, field, value):
  assert getattr(environment.read(variables).jit, field) == value


def test_the_cache_may_be_elsewhere(tmp_path):
  found = environment.read({"DG_JIT_CACHE_DIR": str(tmp_path)}).jit
  assert found.cache_dir == str(tmp_path)
  assert found.cache_dir_is_explicit


@pytest.mark.parametrize(
  ("name", "value", "legal"),
  [
    ("DG_JIT_DEBUG", "yes", "0, 1"),
    ("DG_PRINT_CONFIGS", "2", "0, 1"),
    ("DG_JIT_CPP_STANDARD", "14", "17, 20, 23"),
  ],
)
def test_an_illegal_value_is_refused_with_the_legal_ones(name, value, legal):
  with pytest.raises(ValueError, match=f"{name} must be one of {legal}, got"):
    environment.read({name: value})


def test_an_empty_variable_is_not_set():
  names = [*FLAGS, "DG_JIT_CACHE_DIR", "DG_JIT_CPP_STANDARD"]
  assert environment.read(dict.fromkeys(names, "")) == environment.read({})


def test_switches_outside_the_compiler():
  found = environment.read(
    {"DG_JIT_DEBUG": "1", "DG_PRINT_CONFIGS": "1", "DG_USE_NVIDIA_TOOLS": "1"}
  )
  assert (found.debug, found.print_configs, found.use_nvidia_tools) == (
    True,
    True,
    True,
  )
