"""Mistakes in copies of rows that the emulator must find."""

from tests.emulator.copy_rows_case import CopyRowsCase
from tests.emulator.mutations import Mutation

_KERNEL = "kernels/sm90_copy_rows.cuh"
_PADDED = CopyRowsCase(1, ((7, 149, 160),))
_CUT = CopyRowsCase(2, ((7, 136, 129),))
_TWO = CopyRowsCase(1, ((9, 251, 256), (30, 85, 96)), pieces_per_thread=1)

COPY_ROWS_MUTATIONS = (
  Mutation(
    "copy_reads_a_vector_past_the_end",
    _KERNEL,
    "is_needed && at + 16 <= source_bytes(rows)",
    "is_needed && at < source_bytes(rows)",
    _PADDED,
  ),
  Mutation(
    "copy_without_the_last_bytes",
    _KERNEL,
    "pick(with_last_bytes(rows, window, at), at)",
    "pick(window, at)",
    _PADDED,
  ),
  Mutation(
    "copy_of_the_next_row_instead_of_zeros",
    _KERNEL,
    "max(rows.row_bytes, place.column)",
    "max(rows.target_pitch, place.column)",
    _PADDED,
  ),
  Mutation(
    "copy_before_the_previous_kernel_ends",
    _KERNEL,
    "    ptx::wait_for_previous_kernel();\n",
    "",
    _PADDED,
  ),
  Mutation(
    "copy_writes_past_the_end",
    _KERNEL,
    "kConfig.cut && to + kPieceBytes > target_bytes",
    "kConfig.cut && to > target_bytes",
    _CUT,
  ),
  Mutation(
    "copy_goes_on_in_the_same_row",
    _KERNEL,
    "(place.row + 1) * rows.source_pitch - left",
    "place.row * rows.source_pitch - left",
    _CUT,
  ),
  Mutation(
    "copy_of_the_second_array_begins_late",
    _KERNEL,
    "blockIdx.x - params.first_blocks",
    "blockIdx.x",
    _TWO,
  ),
)
