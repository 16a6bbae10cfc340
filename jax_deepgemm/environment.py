"""The `DG_*` environment variables, read once when the package is imported.

Honoured, with DeepGEMM's meaning and default unless stated:

| variable                        | default          | effect                  |
|---------------------------------|------------------|-------------------------|
| `DG_JIT_CACHE_DIR`              | ~/.jax_deepgemm  | compiled kernels        |
| `DG_JIT_USE_NVRTC`              | 1 (DeepGEMM: 0)  | NVRTC; 0 selects NVCC   |
| `DG_JIT_NVCC_COMPILER`          | found by itself  | path of nvcc            |
| `DG_JIT_CPP_STANDARD`           | 20               | 17, 20 or 23            |
| `DG_JIT_DEBUG`                  | 0                | print sources, launches |
| `DG_JIT_PRINT_COMPILER_COMMAND` | 0                | print each command      |
| `DG_JIT_PRINT_LOAD_TIME`        | 0                | print cubin load times  |
| `DG_JIT_PTXAS_VERBOSE`          | 0                | print ptxas' report     |
| `DG_JIT_PTXAS_CHECK`            | 0                | refuse register spills  |
| `DG_JIT_WITH_LINEINFO`          | 0                | keep source lines       |
| `DG_JIT_DUMP_ASM`               | 0                | dump PTX and SASS       |
| `DG_JIT_DUMP_PTX`               | 0                | dump PTX                |
| `DG_JIT_DUMP_SASS`              | 0                | dump SASS               |
| `DG_PRINT_CONFIGS`              | 0                | log each chosen config  |
| `DG_USE_NVIDIA_TOOLS`           | 0                | benchmarks: no profiler |

`CUDA_HOME` or `CUDA_PATH`, and `PATH`, say where tools are searched.

No counterpart: `DG_JIT_USE_RUNTIME_API` (the driver API is always used),
`DG_SKIP_CUDA_BUILD` and `DG_FORCE_BUILD` (building needs no CUDA toolkit),
`DG_COMM_KERNEL_DEBUG` (no buffer outlives a call) and the undocumented
variables of DeepGEMM's build and tests.
"""

import dataclasses
import os
from collections.abc import Mapping
from typing import TypeVar

from jax_deepgemm.jit.settings import JitSettings

_T = TypeVar("_T")

_FLAGS = {"0": False, "1": True}
_CPP_STANDARDS = {"17": 17, "20": 20, "23": 23}


@dataclasses.dataclass(frozen=True)
class Environment:
  """What the variables say: the settings of the compiler, and three switches.

  Attributes:
    jit: the settings that `jit` runs with.
    debug: `DG_JIT_DEBUG`, also the default of `options(debug_checks=...)`.
    print_configs: `DG_PRINT_CONFIGS`.
    use_nvidia_tools: `DG_USE_NVIDIA_TOOLS`.
  """

  jit: JitSettings
  debug: bool = False
  print_configs: bool = False
  use_nvidia_tools: bool = False


def read(variables: Mapping[str, str]) -> Environment:
  """Returns the environment that `variables` describe.

  Args:
    variables: names and values, as in `os.environ`; others are ignored.

  Raises:
    ValueError: a value is not legal; the message lists those that are.
  """

  def flag(name: str, default: bool = False) -> bool:
    return _choice(variables, name, _FLAGS, default)

  debug = flag("DG_JIT_DEBUG")
  jit = JitSettings(
    cache_dir=os.path.abspath(
      os.path.expanduser(variables.get("DG_JIT_CACHE_DIR") or "~/.jax_deepgemm")
    ),
    use_nvrtc=flag("DG_JIT_USE_NVRTC", True),
    nvcc=variables.get("DG_JIT_NVCC_COMPILER") or None,
    cpp_standard=_choice(variables, "DG_JIT_CPP_STANDARD", _CPP_STANDARDS, 20),
    print_compiler_command=flag("DG_JIT_PRINT_COMPILER_COMMAND"),
    ptxas_verbose=flag("DG_JIT_PTXAS_VERBOSE"),
    ptxas_check=flag("DG_JIT_PTXAS_CHECK"),
    with_lineinfo=flag("DG_JIT_WITH_LINEINFO"),
    dump_asm=flag("DG_JIT_DUMP_ASM"),
    dump_ptx=flag("DG_JIT_DUMP_PTX"),
    dump_sass=flag("DG_JIT_DUMP_SASS"),
    print_load_time=flag("DG_JIT_PRINT_LOAD_TIME"),
    debug=debug,
    cache_dir_is_explicit=bool(variables.get("DG_JIT_CACHE_DIR")),
    cuda_home=variables.get("CUDA_HOME") or variables.get("CUDA_PATH"),
    search_path=variables.get("PATH", ""),
  )
  return Environment(
    jit=jit,
    debug=debug,
    print_configs=flag("DG_PRINT_CONFIGS"),
    use_nvidia_tools=flag("DG_USE_NVIDIA_TOOLS"),
  )


def _choice(
  variables: Mapping[str, str], name: str, legal: Mapping[str, _T], default: _T
) -> _T:
  """Returns the meaning of a variable; an empty one counts as not set."""
  text = variables.get(name, "")
  if not text:
    return default
  if text not in legal:
    raise ValueError(
      f"environment variable {name} must be one of {', '.join(legal)},"
      f" got {text!r}"
    )
  return legal[text]


ENVIRONMENT = read(os.environ)
