"""Mistakes in the padding of rows that the emulator must find."""

from tests.emulator.mutations import Mutation
from tests.emulator.pad_rows_case import PadRowsCase

_KERNEL = "kernels/sm90_pad_rows.cuh"
_ROWS = PadRowsCase(((7, 149, 160),))
_TWO = PadRowsCase(((9, 251, 256), (30, 85, 96)), pieces_per_thread=1)

PAD_ROWS_MUTATIONS = (
  Mutation(
    "pad_reads_a_vector_past_the_end",
    _KERNEL,
    "is_needed && at + 16 <= source_bytes(rows)",
    "is_needed && at < source_bytes(rows)",
    _ROWS,
  ),
  Mutation(
    "pad_without_the_last_bytes",
    _KERNEL,
    "pick(with_last_bytes(rows, window, at), at)",
    "pick(window, at)",
    _ROWS,
  ),
  Mutation(
    "pad_with_the_next_row",
    _KERNEL,
    "max(rows.row_bytes, column) - column",
    "rows.row_pieces * kPieceBytes - column",
    _ROWS,
  ),
  Mutation(
    "pad_writes_past_the_end",
    _KERNEL,
    "place.row >= rows.num_rows",
    "place.row > rows.num_rows",
    _ROWS,
  ),
  Mutation(
    "pad_before_the_previous_kernel_ends",
    _KERNEL,
    "    ptx::wait_for_previous_kernel();\n",
    "",
    _ROWS,
  ),
  Mutation(
    "pad_of_the_second_array_begins_late",
    _KERNEL,
    "blockIdx.x - params.first_blocks",
    "blockIdx.x",
    _TWO,
  ),
)
