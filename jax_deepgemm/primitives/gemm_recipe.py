"""The translation unit of a Hopper GEMM."""

from jax_deepgemm.jit import Recipe, headers_fingerprint

# Lets ptxas trade compile time for registers.
_ALL_REGISTERS = "--ptxas-options=--register-usage-level=10"


def gemm_recipe(
  kernel: str,
  *,
  wgmma: str,
  kernel_type: str,
  smem_bytes: int,
  needs_all_registers: bool = True,
) -> Recipe:
  """Returns the source of a kernel and how to compile it.

  Args:
    kernel: its name; its header is `kernel`_entry.cuh, in cuda/kernels/.
    wgmma: the macro that defines the tensor cores' instruction, its arguments
      with it.
    kernel_type: the kernel's class in namespace jdg, with its configuration.
    smem_bytes: of a block; the source asserts that the kernel takes as many.
    needs_all_registers: whether the sums leave no register to spare.
  """
  source = f"""\
#include "kernels/{kernel}_entry.cuh"

{wgmma}

using Kernel = jdg::{kernel_type};
static_assert(sizeof(Kernel::Smem) == {smem_bytes});

JDG_{kernel.upper()}_ENTRY(Kernel)
"""
  return Recipe(
    kernel=kernel,
    source=source,
    arch="sm_90a",
    flags=_ALL_REGISTERS if needs_all_registers else "",
    fingerprint=headers_fingerprint(),
  )
