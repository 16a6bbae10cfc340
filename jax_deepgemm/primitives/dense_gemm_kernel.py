"""What the launches of the dense Hopper GEMMs share: how they take C and D.

C, if there is one, is the buffer behind the operands; D is the last.
"""

from collections.abc import Sequence
from typing import Protocol

import jax

from jax_deepgemm.primitives import launch
from jax_deepgemm.primitives.fp8_gemm_maps import result_map
from jax_deepgemm.primitives.gemm_launch import d_pitch, result_dtype
from jax_deepgemm.primitives.memory_order import (
  ROW_MAJOR,
  MemoryOrder,
  as_it_lies,
  steps,
)
from jax_deepgemm.primitives.padding import pad_last


class _Problem(Protocol):
  """What a dense problem says of D."""

  @property
  def m(self) -> int: ...

  @property
  def n(self) -> int: ...

  @property
  def num_groups(self) -> int: ...

  @property
  def float32_out(self) -> bool: ...

  @property
  def with_c(self) -> bool: ...

  @property
  def out_bytes(self) -> int: ...


def c_buffer(problem: _Problem, num_operands: int) -> launch.Buffer:
  """Returns C; without C a buffer that the kernel never uses."""
  return launch.Buffer(num_operands if problem.with_c else 0)


def d_index(problem: _Problem, num_operands: int) -> int:
  """Returns which buffer is D, behind operands and C."""
  return num_operands + problem.with_c


def d_map(
  problem: _Problem,
  num_operands: int,
  columns: int,
  memory: MemoryOrder = ROW_MAJOR,
) -> launch.TensorMap:
  """Returns the map of D, boxes `columns` wide."""
  return result_map(
    d_index(problem, num_operands),
    (problem.num_groups, problem.m, d_pitch(problem)),
    float32_out=problem.float32_out,
    columns=columns,
    groups_inside=d_groups_inside(problem, memory),
  )


def d_groups_inside(problem: _Problem, memory: MemoryOrder) -> bool:
  """Returns whether D is (m, g, pitch), and not (g, m, pitch)."""
  return memory.d_groups_inside and not problem.with_c


def d_steps(
  problem: _Problem, memory: MemoryOrder
) -> tuple[launch.Scalar, launch.Scalar]:
  """Returns by how many lines of D groups, and rows, lie apart."""
  inside = d_groups_inside(problem, memory)
  row, group = steps(problem.num_groups, problem.m, 1, inside)
  return launch.Scalar(group), launch.Scalar(row)


def launched(
  call: launch.KernelCall,
  operands: Sequence[jax.Array],
  c: jax.Array | None,
  problem: _Problem,
  memory: MemoryOrder = ROW_MAJOR,
) -> jax.Array:
  """Returns D, `[g, m, n]`; it shares the memory of C if there is one.

  Args:
    call: the launch.
    operands: as they lie.
    c: `[g, m, n]` or None.
    problem: what is computed.
    memory: where D shall lie.
  """
  pitch = d_pitch(problem)
  dtype = result_dtype(problem.float32_out)
  inside = d_groups_inside(problem, memory)
  lines = (problem.num_groups, problem.m)
  result = jax.ShapeDtypeStruct((*lines[:: -1 if inside else 1], pitch), dtype)
  aliases = {} if c is None else {len(operands): 0}
  c_operand = [] if c is None else [pad_last(c, pitch)]
  (d,) = launch.call((call,), [*operands, *c_operand], [result], aliases)
  d = as_it_lies(d, inside)
  return d if pitch == problem.n else d[:, :, : problem.n]
