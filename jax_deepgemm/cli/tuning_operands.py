"""Random operands of the problems that `tune` times, and the calls."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jax_deepgemm import bf16_gemm, grouped_bf16_gemm
from jax_deepgemm.alignment import align
from jax_deepgemm.gemm import fp8_gemm_nt
from jax_deepgemm.grouped_gemm import (
  m_grouped_fp8_gemm_nt_contiguous,
  m_grouped_fp8_gemm_nt_ragged,
)
from jax_deepgemm.heuristics.m_grouped_bf16_gemm_problem import (
  MGroupedBf16GemmProblem,
)
from jax_deepgemm.heuristics.m_grouped_fp8_gemm import MGroupedFp8GemmProblem
from jax_deepgemm.heuristics.sm90_bf16_gemm import Bf16GemmProblem
from jax_deepgemm.heuristics.sm90_fp8_gemm import BLOCK_K, Fp8GemmProblem
from jax_deepgemm.heuristics.sm90_k_grouped_fp8_gemm import (
  KGroupedFp8GemmProblem,
)
from jax_deepgemm.k_grouped_packing import (
  group_ranges,
  pack_quantized,
  packed_sources,
)
from jax_deepgemm.options import current
from jax_deepgemm.primitives.k_grouped_gemm import k_grouped_fp8_gemm
from jax_deepgemm.quantize import per_block_cast_to_fp8, per_token_cast_to_fp8

# Sizes of groups in shares of the expected one; they repeat.
_SPREAD = (1.0, 0.7, 1.3, 0.8, 1.2, 0.9, 1.1)


def fp8(problem: Fp8GemmProblem) -> tuple[Any, ...]:
  """Returns a, b and perhaps c of `call_fp8`."""
  cast_b = (
    per_token_cast_to_fp8 if problem.sfb_per_row else (per_block_cast_to_fp8)
  )
  a = per_token_cast_to_fp8(_normal(0, problem.m, problem.k))
  b = cast_b(_normal(1, problem.n, problem.k))
  return (a, b, *_c(problem, (problem.m, problem.n)))


def call_fp8(problem: Fp8GemmProblem) -> Callable[..., jax.Array]:
  """Returns a new function of the operands."""
  recipe = (1, 1 if problem.sfb_per_row else 128, 128)
  dtype = _out_dtype(problem)
  return lambda *x: fp8_gemm_nt(*x, out_dtype=dtype, recipe=recipe)


def bf16(problem: Bf16GemmProblem) -> tuple[jax.Array, ...]:
  """Returns a, b and perhaps c of `call_bf16`."""
  m, n, k = problem.m, problem.n, problem.k
  a = _normal(0, *((k, m) if problem.a_mn_major else (m, k)))
  b = _normal(1, *((k, n) if problem.b_mn_major else (n, k)))
  return (a, b, *_c(problem, (m, n)))


def call_bf16(problem: Bf16GemmProblem) -> Callable[..., jax.Array]:
  """Returns a new function of the operands."""
  layout = "t" if problem.a_mn_major else "n"
  layout += "n" if problem.b_mn_major else "t"
  function = getattr(bf16_gemm, f"bf16_gemm_{layout}")
  dtype = _out_dtype(problem)
  return lambda *x: function(*x, out_dtype=dtype)


def group_sizes(num_groups: int, expected_m: int) -> list[int]:
  """Returns rows of each group, about as many as expected but not alike."""
  return [
    max(1, round(expected_m * _SPREAD[group % len(_SPREAD)]))
    for group in range(num_groups)
  ]


def m_grouped_rows(num_groups: int, expected_m: int, alignment: int) -> int:
  """Returns the rows of all groups with what alignment puts between them."""
  sizes = group_sizes(num_groups, expected_m)
  return sum(align(size, alignment) for size in sizes)


def m_grouped_fp8(problem: MGroupedFp8GemmProblem) -> tuple[Any, ...]:
  """Returns a, b and sizes, or ends if the rows of groups are aligned."""
  weights = _normal(1, problem.num_groups, problem.n, problem.k)
  return (
    per_token_cast_to_fp8(_normal(0, problem.m, problem.k)),
    jax.vmap(per_block_cast_to_fp8)(weights),
    _group_numbers(problem),
  )


def call_m_grouped_fp8(
  problem: MGroupedFp8GemmProblem,
) -> Callable[..., jax.Array]:
  """Returns a new function of the operands."""
  hints = _hints(problem)
  if problem.row_alignment == 1:
    return lambda *x: m_grouped_fp8_gemm_nt_ragged(*x, **hints)
  return lambda *x: m_grouped_fp8_gemm_nt_contiguous(
    *x, use_psum_layout=True, **hints
  )


def m_grouped_bf16(problem: MGroupedBf16GemmProblem) -> tuple[Any, ...]:
  """Returns a, b and ends of groups, whose rows are aligned."""
  groups, n, k = problem.num_groups, problem.n, problem.k
  return (
    _normal(0, problem.m, k),
    _normal(1, groups, *((k, n) if problem.b_mn_major else (n, k))),
    _group_numbers(problem),
  )


def call_m_grouped_bf16(
  problem: MGroupedBf16GemmProblem,
) -> Callable[..., jax.Array]:
  """Returns a new function of the operands."""
  layout = "nn" if problem.b_mn_major else "nt"
  name = f"m_grouped_bf16_gemm_{layout}_contiguous"
  function = getattr(grouped_bf16_gemm, name)
  return lambda *x: function(*x, use_psum_layout=True, **_hints(problem))


def _group_numbers(
  problem: MGroupedFp8GemmProblem | MGroupedBf16GemmProblem,
) -> jax.Array:
  """Returns sizes of groups, or their ends if their rows are aligned."""
  numbers, row = [], 0
  for size in group_sizes(problem.num_groups, problem.expected_m):
    numbers.append(size if problem.row_alignment == 1 else row + size)
    row += align(size, problem.row_alignment)
  return jnp.asarray(numbers, jnp.int32)


def _hints(
  problem: MGroupedFp8GemmProblem | MGroupedBf16GemmProblem,
) -> dict[str, Any]:
  return {"expected_m": problem.expected_m, "out_dtype": _out_dtype(problem)}


def k_grouped_fp8(problem: KGroupedFp8GemmProblem) -> tuple[jax.Array, ...]:
  """Returns what the primitive takes: packed operands, sizes, perhaps c."""
  groups = problem.num_groups
  sum_k = (problem.num_k_blocks - groups) * BLOCK_K
  sizes = [sum_k // groups] * groups
  sizes[0] += sum_k - sum(sizes)
  sizes = jnp.asarray(sizes, jnp.int32)
  pack = jax.jit(_pack)
  a = pack(_normal(0, sum_k, problem.m), sizes)
  b = pack(_normal(1, sum_k, problem.n), sizes)
  c = (
    (_normal(2, groups, problem.m, problem.n).astype(jnp.float32),)
    if problem.with_c
    else ()
  )
  return (*a, *b, sizes, *c)


def call_k_grouped_fp8(
  problem: KGroupedFp8GemmProblem,
) -> Callable[..., jax.Array]:
  """Returns a new function of the operands."""
  del problem
  return lambda *x: k_grouped_fp8_gemm(*x, options=current())


def _pack(x: jax.Array, sizes: jax.Array) -> tuple[jax.Array, jax.Array]:
  ranges = group_ranges(sizes, x.shape[0], use_psum_layout=False)
  return pack_quantized(x, packed_sources(ranges, x.shape[0]), 0)


def _normal(seed: int, *shape: int) -> jax.Array:
  return jax.random.normal(jax.random.key(seed), shape, jnp.bfloat16)


def _c(
  problem: Fp8GemmProblem | Bf16GemmProblem, shape: tuple[int, int]
) -> tuple[jax.Array, ...]:
  if not problem.with_c:
    return ()
  return (_normal(2, *shape).astype(_out_dtype(problem)),)


def _out_dtype(problem: Any) -> Any:
  return jnp.float32 if problem.float32_out else jnp.bfloat16
