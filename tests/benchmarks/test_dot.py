"""The benchmark of dot products: what its programs launch."""

import jax
import pytest

from benchmarks import dot, kernel_programs


@pytest.mark.parametrize("case", [dot.cases(128)[0], dot.cases(128)[-1]])
def test_programs_cast_and_multiply_as_often_as_they_must(case):
  expected = {
    "fp8": (6, 3) if not case.groups else (8, 3),
    "fp8_recast": (8, 3) if not case.groups else (9, 3),
  }
  for name, (training, forward) in expected.items():
    f = dot.dots(case)[name]
    arrays = jax.eval_shape(lambda: dot.operands(case))
    for step, launches in ((dot.training, training), (dot.forward, forward)):
      lowered = kernel_programs.lowered_for(
        jax.jit(step(f)), *arrays, device="NVIDIA H200"
      )
      assert len(kernel_programs.launches(lowered)) == launches


def test_the_floor_of_casts_counts_each_byte_once():
  # x, w and dy: 2 bytes read and 2 times 1 byte written.
  assert dot.DotCase(10, 20, 30).cast_floor_us == pytest.approx(
    4 * (300 + 600 + 200) / 4.3e6
  )
