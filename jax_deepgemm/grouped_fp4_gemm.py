"""m-grouped GEMMs of fp8 with FP4: there are none yet.

The names are DeepGEMM's. Until there is a product that reads FP4,
`cast_back_from_fp4` gives the plain array that the fp8 functions take.
"""

from typing import Any, NoReturn


def _refuse(name: str) -> NoReturn:
  raise NotImplementedError(
    f"{name} is not there yet: pass what cast_back_from_fp4 returns to"
    f" {name.replace('_fp4', '')}, which quantises it to fp8"
  )


def m_grouped_fp8_fp4_gemm_nt_contiguous(*args: Any, **kwargs: Any) -> NoReturn:
  """Raises NotImplementedError; see `m_grouped_fp8_gemm_nt_contiguous`."""
  _refuse("m_grouped_fp8_fp4_gemm_nt_contiguous")


def m_grouped_fp8_fp4_gemm_nn_contiguous(*args: Any, **kwargs: Any) -> NoReturn:
  """Raises NotImplementedError; see `m_grouped_fp8_gemm_nn_contiguous`."""
  _refuse("m_grouped_fp8_fp4_gemm_nn_contiguous")


def m_grouped_fp8_fp4_gemm_nt_masked(*args: Any, **kwargs: Any) -> NoReturn:
  """Raises NotImplementedError; see `m_grouped_fp8_gemm_nt_masked`."""
  _refuse("m_grouped_fp8_fp4_gemm_nt_masked")
