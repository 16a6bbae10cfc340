"""The benchmark of expert parallelism times what it says."""

import pytest

from benchmarks import expert_parallel
from tests.primitives.cuda_lowering import lowered_for_cuda

LAYER = expert_parallel.Layer(4, 2, 136, 8)


@pytest.mark.parametrize(("name", "step"), expert_parallel._STEPS.items())
def test_a_step_moves_the_rows_whose_bytes_are_counted(name, step):
  looped, args = expert_parallel.program(LAYER, "float8_e4m3fn", step)
  text = lowered_for_cuda(looped, *args)
  moves = text.count("@ragged_all_to_all")
  # 136 codes and 2 exponents make 144 bytes; bfloat16 rows have 272.
  counted = expert_parallel.bytes_each_way(LAYER, "float8_e4m3fn")[name]
  assert counted == 144 + 272 * (moves - 1)
