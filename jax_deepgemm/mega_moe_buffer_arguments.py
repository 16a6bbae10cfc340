"""Checks of what `get_symm_buffer_for_mega_moe` is given."""

import math
from typing import Any

from jax.sharding import Mesh

from jax_deepgemm.heuristics.mega_moe_arena import (
  MAX_RANKS,
  MMA_TYPES,
  MegaMoeArena,
)
from jax_deepgemm.symmetric_memory.backend import BACKENDS

_MOST_EXPERTS = 1024
_MOST_CHOICES = 32
_MOST_ROWS = 2**31  # Rows are counted with 32 bits.
_MULTIPLE = 128  # Elements of a scale.
_LONGEST_S = 2**32


def checked_axes(mesh: Any, axis_name: Any) -> tuple[int, ...]:
  """Returns the positions of the named axes in the mesh's array of devices.

  Raises:
    TypeError: it is no mesh of devices.
    ValueError: it has no such axis.
  """
  if not isinstance(mesh, Mesh):
    raise TypeError(
      f"mesh: expected a jax.sharding.Mesh of devices, got {mesh!r}"
    )
  names = list(_names(axis_name))
  if not names or not set(names) <= set(mesh.axis_names):
    raise ValueError(
      f"axis_name: expected one or more of {mesh.axis_names}, got {axis_name!r}"
    )
  if len(set(names)) < len(names):
    raise ValueError(f"axis_name: expected distinct axes, got {axis_name!r}")
  return tuple(mesh.axis_names.index(name) for name in names)


def checked_arena(
  mesh: Mesh,
  axis_name: str | tuple[str, ...],
  *,
  num_experts: int,
  num_max_tokens_per_rank: int,
  num_topk: int,
  hidden: int,
  intermediate_hidden: int,
  mma_type: str,
  activation: str,
  num_shared_experts: int,
) -> MegaMoeArena:
  """Returns the layout of the memory.

  Raises:
    TypeError: a size is no integer.
    ValueError: a size is not supported.
    NotImplementedError: the activation is not there.
  """
  num_ranks = math.prod(mesh.shape[name] for name in _names(axis_name))
  if num_ranks > MAX_RANKS:
    raise ValueError(
      f"axis_name: expected at most {MAX_RANKS} ranks, got {num_ranks} along"
      f" {axis_name!r}"
    )
  _check_kind(mma_type, activation)
  most_shared = min(_MOST_CHOICES, _MOST_EXPERTS // num_ranks) - 1
  _check_size("num_shared_experts", num_shared_experts, most_shared, least=0)
  all_shared = num_ranks * num_shared_experts
  _check_size("num_experts", num_experts, _MOST_EXPERTS - all_shared)
  if num_experts % num_ranks:
    raise ValueError(
      f"num_experts: expected a multiple of {num_ranks}, the size of axis"
      f" {axis_name!r}, got {num_experts}"
    )
  most_chosen = min(_MOST_CHOICES - num_shared_experts, num_experts)
  _check_size("num_topk", num_topk, most_chosen)
  _check_size("num_max_tokens_per_rank", num_max_tokens_per_rank, _MOST_ROWS)
  _check_multiple("hidden", hidden)
  _check_multiple("intermediate_hidden", intermediate_hidden)
  arena = MegaMoeArena(
    num_ranks=num_ranks,
    num_experts=num_experts + all_shared,
    max_tokens=num_max_tokens_per_rank,
    top_k=num_topk + num_shared_experts,
    hidden=hidden,
    intermediate=intermediate_hidden,
    mma_type=mma_type,
    num_shared_experts=num_shared_experts,
  )
  if arena.capacity >= _MOST_ROWS:
    raise ValueError(
      "num_max_tokens_per_rank: expected fewer than 2**31 rows that may come to"
      f" a rank, got {arena.capacity}"
    )
  return arena


def checked_timeout(timeout_s: Any) -> int:
  """Returns the time in nanoseconds.

  Raises:
    TypeError: it is no number.
    ValueError: it is none that can be waited for.
  """
  if not isinstance(timeout_s, int | float) or isinstance(timeout_s, bool):
    raise TypeError(f"timeout_s: expected a number, got {timeout_s!r}")
  if not 0 < timeout_s < _LONGEST_S:
    raise ValueError(
      f"timeout_s: expected seconds above 0 and below 2**32, got {timeout_s}"
    )
  return max(int(timeout_s * 1e9), 1)


def check_backend(backend: Any) -> None:
  """Returns nothing; raises ValueError unless it is None or known."""
  if backend is not None and backend not in BACKENDS:
    raise ValueError(
      f"backend: expected None or one of {BACKENDS}, got {backend!r}"
    )


def _names(axis_name: Any) -> tuple[Any, ...]:
  return tuple(axis_name) if isinstance(axis_name, tuple) else (axis_name,)


def _check_kind(mma_type: Any, activation: Any) -> None:
  if mma_type not in MMA_TYPES:
    raise ValueError(f"mma_type: expected one of {MMA_TYPES}, got {mma_type!r}")
  if activation != "swiglu":
    raise NotImplementedError(
      f"activation: expected 'swiglu', as there is no other, got {activation!r}"
    )


def _check_size(name: str, value: Any, most: int, least: int = 1) -> None:
  if not isinstance(value, int) or isinstance(value, bool):
    raise TypeError(f"{name}: expected an int, got {value!r}")
  if not least <= value <= most:
    raise ValueError(f"{name}: expected {least} to {most}, got {value}")


def _check_multiple(name: str, value: Any) -> None:
  _check_size(name, value, _MOST_ROWS)
  if value % _MULTIPLE:
    raise ValueError(f"{name}: expected a multiple of {_MULTIPLE}, got {value}")
