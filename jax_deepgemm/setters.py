"""DeepGEMM's names for the options: set for all threads, get for this one."""

from jax_deepgemm.options import current, set_globally
from jax_deepgemm.primitives.target import target_device

# A Hopper tile of a grouped GEMM is 128 rows, whatever the group sizes.
_SM90_MK_ALIGNMENT = 128


def set_num_sms(num_sms: int | None) -> None:
  """Lets kernels use `num_sms` streaming multiprocessors; None is all."""
  set_globally(num_sms=num_sms)


def get_num_sms() -> int:
  """Returns how many streaming multiprocessors kernels may use."""
  options = current()
  if options.num_sms is not None:
    return options.num_sms
  return target_device(options).num_sms


def set_tc_util(tc_util: int) -> None:
  """Sets the tensor cores' issue rate in percent; no effect on Hopper."""
  set_globally(tc_util=tc_util)


def get_tc_util() -> int:
  """Returns the tensor cores' issue rate in percent."""
  return current().tc_util


def set_pdl(pdl: bool) -> None:
  """Switches programmatic dependent launch on or off; off by default."""
  set_globally(pdl=pdl)


def get_pdl() -> bool:
  """Returns whether kernels use programmatic dependent launch."""
  return current().pdl


def set_mk_alignment_for_contiguous_layout(mk_alignment: int) -> None:
  """Sets the row multiple that groups of contiguous layouts start at."""
  set_globally(mk_alignment=mk_alignment)


def get_mk_alignment_for_contiguous_layout() -> int:
  """Returns the row multiple that groups of contiguous layouts start at."""
  return current().mk_alignment


def get_theoretical_mk_alignment_for_contiguous_layout(
  expected_m: int | None = None,
) -> int:
  """Returns the alignment that suits the GPU best: 128 on Hopper.

  Args:
    expected_m: rows expected in a group; Hopper's alignment ignores it.
  """
  del expected_m
  return _SM90_MK_ALIGNMENT


def set_ignore_compile_dims(ignore_compile_dims: bool) -> None:
  """Keeps sizes out of the kernels; no effect on Hopper, where they never are.

  Args:
    ignore_compile_dims: DeepGEMM compiles n and k into a kernel unless this
      is set; the Hopper kernels here take every size at run time.
  """
  set_globally(ignore_compile_dims=ignore_compile_dims)


def set_block_size_multiple_of(multiple: int | tuple[int, int]) -> None:
  """Restricts tiles to multiples of `multiple`, for both or for (m, n)."""
  set_globally(block_size_multiple_of=multiple)
