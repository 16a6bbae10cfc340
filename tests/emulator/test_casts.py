"""The casts' kernels give the bits of the reference, whatever runs first."""

import pytest

from jax_deepgemm.heuristics.sm90_cast import CastSource
from tests.emulator.cast_case import CastCase, cast_case, check_cast
from tests.emulator.cast_mutations import CAST_MUTATIONS
from tests.emulator.emulator import Emulator, EmulatorError
from tests.emulator.mutated import mutated

NUM_SEEDS = 3
NUM_FUSED_SEEDS = 2
NUM_MUTATION_SEEDS = 8

CASES = [
  # Per token: one row, ragged rows and columns, whole pieces and odd pitches.
  cast_case("rows", 1, 7 * 128, mn_major=True),
  cast_case("rows", 9, 136),
  cast_case("rows", 6, 264, mn_major=True, use_ue8m0=True),
  cast_case("rows", 17, 1160, rows_per_thread=4, mn_major=True),
  cast_case("rows", 5, 131, float32_in=True),
  cast_case("rows", 13, 259, float32_in=True, use_ue8m0=True),
  cast_case("rows", 7, 320, gran=32, rows_per_thread=2, float32_in=True),
  cast_case("rows", 5, 75, gran=32, use_ue8m0=True),
  cast_case("rows", 11, 640, gran=32, mn_major=True),
  cast_case("rows", 3, 6, 136, mn_major=True, rows_per_thread=2),
  cast_case("rows", 3, 7, 136),
  # To FP4: the scales of a row in one word or not, ragged blocks and pieces.
  cast_case("rows", 9, 264, fp4=True),
  cast_case("rows", 6, 136, fp4=True, use_ue8m0=True),
  cast_case("rows", 33, 328, gran=32, fp4=True, use_ue8m0=True, packed=True),
  cast_case("rows", 5, 134, gran=32, fp4=True, use_ue8m0=True, packed=True),
  cast_case(
    "rows",
    *(3, 7, 256),
    gran=32,
    fp4=True,
    use_ue8m0=True,
    packed=True,
    float32_in=True,
    rows_per_thread=2,
  ),
  cast_case("rows", 7, 202, gran=32, fp4=True, float32_in=True),
  # Per channel.
  cast_case("columns", 150, 264),
  cast_case("columns", 130, 7, use_ue8m0=True),
  cast_case("columns", 2, 40, 131, float32_in=True),
  # Per block.
  cast_case("blocks", 150, 264),
  cast_case("blocks", 129, 135, use_ue8m0=True),
  cast_case("blocks", 2, 70, 160, float32_in=True),
  # Transposing.
  cast_case("transposed", 144, 264),
  cast_case("transposed", 137, 135, use_ue8m0=True),
  cast_case("transposed", 2, 160, 50, float32_in=True),
  cast_case("transposed", 1, 8),
  # Both ways.
  cast_case("both", 144, 264),
  cast_case("both", 131, 137, use_ue8m0=True, float32_in=True),
  cast_case("both", 2, 33, 136),
  # Groups: none, empty ones, negative sizes, more than there are rows, more
  # groups than a warp has lanes.
  cast_case("grouped", 300, 136, sizes=(130, 0, 5, 128)),
  cast_case("grouped", 140, 50, sizes=(0, -3, 200, 7), float32_in=True),
  cast_case("grouped", 70, 40, sizes=(70,), use_ue8m0=True),
  cast_case("grouped", 60, 131, sizes=(0, 0)),
  cast_case("grouped", 90, 8, sizes=(1,) * 33 + (0, 9, 2**31 - 1)),
]

# Two results of one read, and what is made on the way: the schedules of the
# same kernels, so that few seeds do.
FUSED = [
  cast_case("blocks_both", 131, 137, use_ue8m0=True),
  cast_case("blocks_both", 2, 33, 136, float32_in=True),
  cast_case("rows_grouped", 150, 136, sizes=(130, 0, 5)),
  cast_case("rows_grouped", 41, 50, sizes=(0, -3, 2**31 - 1), float32_in=True),
  cast_case("rows", 9, 264, source=CastSource.SWIGLU, mn_major=True),
  cast_case("rows", 2, 5, 131, source=CastSource.SWIGLU, float32_in=True),
  cast_case(
    "rows", 2, 5, 136, source=CastSource.WEIGHTED_SWIGLU, mn_major=True
  ),
  cast_case(
    "rows",
    *(6, 512),
    source=CastSource.SWIGLU_GRADIENT,
    mn_major=True,
    rows_per_thread=2,
  ),
  cast_case("rows", 2, 5, 131, source=CastSource.GATHER),
  cast_case(
    "rows",
    *(9, 264),
    source=CastSource.RMS_NORM,
    mn_major=True,
    rows_per_thread=2,
  ),
  cast_case("both", 33, 256, source=CastSource.SWIGLU_GRADIENT),
  cast_case("both", 2, 33, 136, source=CastSource.GATHER),
  cast_case("both", 33, 131, source=CastSource.RMS_NORM, float32_in=True),
  cast_case(
    "rows_grouped", 70, 136, source=CastSource.SWIGLU, sizes=(33, 0, 20)
  ),
  cast_case(
    "grouped", 70, 136, source=CastSource.WEIGHTED_SWIGLU, sizes=(33, 0, 20)
  ),
  cast_case(
    "rows_grouped", 70, 136, source=CastSource.GATHER, sizes=(33, 0, 20)
  ),
  cast_case("grouped", 70, 131, source=CastSource.SWIGLU, sizes=(33, 0, 20)),
  cast_case("live_rows", 41, 50, sizes=(0, -3, 2**31 - 1), float32_in=True),
  cast_case(
    *("live_rows", 70, 136),
    source=CastSource.WEIGHTED_SWIGLU,
    sizes=(1,) * 33 + (0, 20),
  ),
  # Values as they are: in whole pieces, and with odd ends.
  cast_case("live_values", 41, 131, sizes=(0, -3, 25)),
  cast_case(
    *("live_values", 70, 136),
    source=CastSource.WEIGHTED_SWIGLU,
    fast_math=False,
    sizes=(1,) * 33 + (0, 20),
  ),
  *(
    cast_case(
      *(kind, 70, 136),
      source=CastSource.WEIGHTED_SWIGLU,
      fast_math=False,
      sizes=(33, 0, 20),
    )
    for kind in ("live_rows", "grouped")
  ),
]


@pytest.mark.parametrize("case", CASES, ids=CastCase.id)
def test_every_bit_is_that_of_the_reference(toolchain, case):
  emulator = Emulator(toolchain)
  for seed in range(NUM_SEEDS):
    check_cast(case, emulator, seed)


@pytest.mark.parametrize("case", FUSED, ids=CastCase.id)
def test_a_fused_cast_is_that_of_the_reference(toolchain, case):
  emulator = Emulator(toolchain)
  for seed in range(NUM_FUSED_SEEDS):
    check_cast(case, emulator, seed)


def is_right(case, emulator, seed):
  try:
    check_cast(case, emulator, seed)
  except (EmulatorError, AssertionError):
    return False
  return True


@pytest.mark.parametrize("mutation", CAST_MUTATIONS, ids=lambda m: m.name)
def test_a_mutation_is_found(toolchain, tmp_path, mutation):
  emulator = Emulator(toolchain, mutated(mutation, tmp_path / "cuda"))
  seeds = range(NUM_MUTATION_SEEDS)
  assert not all(is_right(mutation.case, emulator, seed) for seed in seeds)


@pytest.mark.parametrize(
  "case",
  sorted({m.case for m in CAST_MUTATIONS}, key=CastCase.id),
  ids=CastCase.id,
)
def test_without_a_mutation_nothing_is_found(toolchain, case):
  for seed in range(NUM_MUTATION_SEEDS):
    check_cast(case, Emulator(toolchain), seed)
