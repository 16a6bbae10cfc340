"""The benchmark of training steps: what its programs compute and launch."""

import functools

import jax
import numpy as np
import pytest

from benchmarks import kernel_programs, training

_SIZES = {
  "dot_general": (1, 130, 96, 160),
  "ragged_dot": (3, 40, 96, 160),
  "moe_mlp": (3, 40, 128, 160),
}
_CASES = [
  training.Case(name, *_SIZES[name], by)
  for name, kinds in training._BY.items()
  for by in kinds
]


@functools.cache
def computed(case):
  y, gradients = training.program(case)(*training.operands(case))
  return [np.asarray(x, np.float64) for x in (y, *gradients)]


@pytest.mark.parametrize(
  "case", _CASES, ids=lambda case: f"{case.operation}-{case.by}"
)
def test_what_is_timed_is_the_same_pass(case):
  found = computed(case)
  exact = computed(case._replace(by=training._BY[case.operation][-1]))
  for x, y in zip(found, exact, strict=True):
    if x.shape != y.shape:
      x = x.swapaxes(1, 2)  # Of a weight that has K last.
    norms = np.linalg.norm(x) * np.linalg.norm(y)
    assert np.vdot(x, y) > (0.99 if "fp8" in case.by else 0.9999) * norms


@pytest.mark.parametrize(
  ("operation", "by", "launches"),
  [
    ("dot_general", "fp8", 6),
    ("dot_general", "fp8_recast", 8),
    ("ragged_dot", "fp8", 8),
    ("ragged_dot", "fp8_recast", 9),
    ("ragged_dot", "bf16", 3),
    # 6 casts, 4 products by rows, 2 by groups of K.
    ("moe_mlp", "fp8", 12),
    ("moe_mlp", "bf16", 6),
  ],
)
def test_programs_cast_and_multiply_as_often_as_they_must(
  operation, by, launches
):
  case = training.Case(operation, *_SIZES[operation], by)
  arrays = jax.eval_shape(lambda: training.operands(case))
  lowered = kernel_programs.lowered_for(
    training.program(case), *arrays, device="NVIDIA H200"
  )
  assert len(kernel_programs.launches(lowered)) == launches
