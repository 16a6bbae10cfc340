"""What a stage of the FP8 GEMM with FP4 weights takes where rows are few."""

from jax_deepgemm.heuristics import swapped_cost
from jax_deepgemm.heuristics.sm90_fp8_fp4_gemm_swapped import (
  CODE_BYTES,
  Sm90Fp8Fp4GemmSwappedConfig,
)

# Instructions of a thread for a K block with few rows: decoding, and what each
# column of the tensor cores' instruction adds. Counted in the compiled kernels:
# 134 with 8 columns, 215 with 32, 280 to 323 with 64.
_DECODE_CYCLES = 110
_COLUMN_CYCLES = 3
# Half of the instructions that decode are of a unit that takes one in two
# cycles, those of columns multiply and add every cycle. Not measured.
_CYCLES_OF_DECODING = 1.5
_STAGE_CYCLES = 150  # Barriers, and the latency of the last products.
_ROUND_CYCLES = 60  # Of it, what decoding less than a K block does not hide.
_TOKENS_THAT_DOUBLE = 350  # As with FP8 weights.


def stage_times(
  config: Sm90Fp8Fp4GemmSwappedConfig,
) -> swapped_cost.StageTimes:
  """Returns what the cost model wants to know of a stage."""
  return swapped_cost.StageTimes(
    cycles=_stage_cycles(config),
    # Scales of groups' rows are copied by threads.
    num_boxes=2 if config.max_groups else 3,
    run_bytes=config.stage_k_blocks * CODE_BYTES,
    tokens_that_double=_TOKENS_THAT_DOUBLE,
    weight_bytes=CODE_BYTES + 4,
    issue_cycles=_issue_cycles(config),
  )


def _issue_cycles(config: Sm90Fp8Fp4GemmSwappedConfig) -> float:
  block = _DECODE_CYCLES + _COLUMN_CYCLES * config.block_m
  return config.stage_k_blocks * block


def _stage_cycles(config: Sm90Fp8Fp4GemmSwappedConfig) -> float:
  """Cycles that a warpgroup needs for a stage if nothing holds it up."""
  # All but the last round are multiplied while the next is decoded.
  rounds = config.stage_k_blocks * 4 // config.mma_groups
  last = swapped_cost.mma_cycles(config) / rounds
  waits = _STAGE_CYCLES
  if config.mma_groups < 4:
    waits += (rounds - 1) * _ROUND_CYCLES
  block = _CYCLES_OF_DECODING * _DECODE_CYCLES + _COLUMN_CYCLES * config.block_m
  return config.stage_k_blocks * block + last + waits
