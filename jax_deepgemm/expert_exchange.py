"""Moves ranges of rows between the ranks of a mesh axis."""

import functools

import jax
import jax.numpy as jnp

from jax_deepgemm.expert_plan import AxisName, Segments
from jax_deepgemm.primitives.varying import to_common_varying

# Ranges that a rank sends: XLA's kernel for GPUs of one process copies each
# with 128 threads, 8 bytes at a time, so that few ranges leave NVLink idle.
WANTED_SLICES = 512


def exchange(
  rows: jax.Array,
  num_rows: int,
  here: Segments,
  there: Segments,
  axis_name: AxisName,
) -> jax.Array:
  """Returns `[num_rows, ...]` with the rows that the ranks sent to this one.

  Rows that none sent may hold anything.

  Args:
    rows: `[n, ...]`, of the same shape on each rank.
    num_rows: of the result.
    here: ranges of `rows` to send, and where they go.
    there: ranges of the result that will be received.
    axis_name: mesh axes that the ranks lie on.
  """
  if jax.lax.axis_size(axis_name) == 1:
    return _resized(rows, num_rows)
  if rows.size == 0 or num_rows == 0:
    return to_common_varying((unwritten(num_rows, rows), rows))[0]
  slices = slices_of(here, there)
  move = functools.partial(_native, num_rows=num_rows, axis_name=axis_name)
  emulate = functools.partial(_emulated, num_rows=num_rows, axis_name=axis_name)
  # XLA has no such collective for the CPU.
  return jax.lax.platform_dependent(rows, *slices, cpu=emulate, default=move)


def slices_of(here: Segments, there: Segments) -> tuple[jax.Array, ...]:
  """Returns what `ragged_all_to_all` takes, int32 `[ranks * slices]` each.

  Args:
    here: ranges that this rank sends, and where they go.
    there: ranges that it will receive.

  Returns:
    Offsets, sizes and remote offsets of what is sent, sizes of what comes.
  """
  pieces = max(1, WANTED_SLICES // here.sizes.size)
  begins, sizes = _split(here.sizes, pieces)
  _, received = _split(there.sizes, pieces)
  return (
    (here.offsets[..., None] + begins).reshape(-1),
    sizes.reshape(-1),
    (here.remote_offsets[..., None] + begins).reshape(-1),
    received.reshape(-1),
  )


def unwritten(num_rows: int, like: jax.Array) -> jax.Array:
  """Returns rows that nobody writes; zeros, where uninitialised ones cost."""
  return jnp.zeros((num_rows, *like.shape[1:]), like.dtype)


def _resized(rows: jax.Array, num_rows: int) -> jax.Array:
  """Returns the first num_rows rows; those of one rank are where they go."""
  if num_rows <= rows.shape[0]:
    return rows[:num_rows]
  rest = unwritten(num_rows - rows.shape[0], rows)
  return jnp.concatenate(to_common_varying((rows, rest)))


def _split(sizes: jax.Array, pieces: int) -> tuple[jax.Array, jax.Array]:
  """Returns first rows and sizes, `[..., pieces]`, of nearly equal parts.

  The first sizes % pieces parts have one row more.
  """
  part = jnp.arange(pieces, dtype=jnp.int32)
  quotient, remainder = (x[..., None] for x in divmod(sizes, pieces))
  begins = quotient * part + jnp.minimum(part, remainder)
  return begins, quotient + (part < remainder).astype(jnp.int32)


def _native(
  rows: jax.Array, *slices: jax.Array, num_rows: int, axis_name: AxisName
) -> jax.Array:
  shape = (num_rows, *rows.shape[1:])
  room, rows = to_common_varying((jax.lax.empty(shape, rows.dtype), rows))
  return jax.lax.ragged_all_to_all(rows, room, *slices, axis_name=axis_name)


def _emulated(
  rows: jax.Array, *slices: jax.Array, num_rows: int, axis_name: AxisName
) -> jax.Array:
  """Returns the same by an all-gather and indexing."""
  ranks = jax.lax.axis_size(axis_name)
  rank = jax.lax.axis_index(axis_name)
  *sent, received = slices
  sent = jax.lax.all_gather(jnp.stack(sent), axis_name)
  sent = sent.reshape(ranks, len(slices) - 1, ranks, -1)
  begins, sizes, ends = jax.lax.dynamic_index_in_dim(
    sent, rank, 2, keepdims=False
  ).transpose(1, 0, 2)
  # One slice after the other would be a loop; rows look for theirs instead.
  row = jnp.arange(num_rows, dtype=jnp.int32)[:, None]
  within = row - ends.reshape(-1)
  sizes = jnp.minimum(sizes.reshape(-1), received)
  is_sent = (within >= 0) & (within < sizes)
  first = jnp.arange(ranks, dtype=jnp.int32)[:, None] * rows.shape[0] + begins
  source = jnp.where(is_sent, first.reshape(-1) + within, 0).sum(1)
  everywhere = jax.lax.all_gather(rows, axis_name, tiled=True)
  found = jnp.take(everywhere, source, axis=0, mode="clip")
  is_found = is_sent.any(1).reshape(-1, *(1,) * (rows.ndim - 1))
  return jnp.where(is_found, found, unwritten(num_rows, rows))
