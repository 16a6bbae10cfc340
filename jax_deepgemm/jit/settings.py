"""What the user decides about compiling: built by `options`, read here."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class JitSettings:
  """Values of the DG_JIT_* environment variables.

  This package reads no environment variable itself, so that a test or an
  embedding program can hold several settings in one process. The diagnostics
  that report on a compilation (`ptxas_verbose`, `print_compiler_command`) are
  silent for a kernel that comes from the cache.

  Attributes:
    cache_dir: absolute directory of the disk cache; "" keeps kernels in memory.
    use_nvrtc: compile with NVRTC, else with NVCC.
    nvcc: path of nvcc, or None to search for it.
    cpp_standard: C++ standard, e.g. 20.
    print_compiler_command: print the command or the options of each compile.
    ptxas_verbose: print the compiler's log with registers and shared memory.
    ptxas_check: refuse kernels that spill or whose wgmma is serialised.
    with_lineinfo: embed line numbers for profilers.
    dump_asm: write both PTX and SASS next to the cache entry.
    dump_ptx: write PTX next to the cache entry.
    dump_sass: write SASS next to the cache entry.
    print_load_time: print where each cubin came from and how long it took.
    debug: print each kernel's source.
    num_workers: threads that compile ahead. On 2 cores 2 workers halve the time
      of 24 kernels; on 16 cores more than 4 brought nothing.
    cache_dir_is_explicit: the user named `cache_dir`; failing to write it is
      then an error, not a warning.
    cuda_home: value of CUDA_HOME or CUDA_PATH: its bin/ is searched for tools.
    search_path: value of PATH, searched for tools after `cuda_home`.
  """

  cache_dir: str
  use_nvrtc: bool = True
  nvcc: str | None = None
  cpp_standard: int = 20
  print_compiler_command: bool = False
  ptxas_verbose: bool = False
  ptxas_check: bool = False
  with_lineinfo: bool = False
  dump_asm: bool = False
  dump_ptx: bool = False
  dump_sass: bool = False
  print_load_time: bool = False
  debug: bool = False
  num_workers: int = 4
  cache_dir_is_explicit: bool = False
  cuda_home: str | None = None
  search_path: str = ""

  @property
  def wants_ptx(self) -> bool:
    """Whether PTX is written next to each cache entry."""
    return self.dump_ptx or self.dump_asm

  @property
  def wants_sass(self) -> bool:
    """Whether SASS is written next to each cache entry."""
    return self.dump_sass or self.dump_asm

  @property
  def wants_ptxas_log(self) -> bool:
    """Whether ptxas has to report registers, stack frame and spills."""
    return self.ptxas_verbose or self.ptxas_check
