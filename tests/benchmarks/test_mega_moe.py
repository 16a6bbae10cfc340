"""The benchmark of mega MoE times the same layer in each of its ways."""

import functools

import jax
import numpy as np
import pytest

import jax_deepgemm as jd
from benchmarks import mega_moe
from jax_deepgemm.testing import calc_diff

LAYER = mega_moe.Layer(8, 2, 256, 128)
TOKENS = 4


def _computed(step, mma_type):
  args = (
    *mega_moe.operands(LAYER, TOKENS),
    *mega_moe.expert_weights(LAYER)[mma_type],
  )
  return jax.jit(mega_moe.program(step, mega_moe.expert_mesh()))(*args)


def _fused(mma_type):
  sizes = (LAYER.num_experts, TOKENS, LAYER.top_k)
  with jd.get_symm_buffer_for_mega_moe(
    *(mega_moe.expert_mesh(), "expert", *sizes),
    *(LAYER.hidden, LAYER.intermediate),
    mma_type=mma_type,
  ) as buffer:
    return _computed(functools.partial(mega_moe.mega, buffer), mma_type)


def test_the_operation_computes_what_the_steps_do():
  fused = _fused("fp8xfp8")
  steps = _computed(functools.partial(mega_moe.steps, LAYER), "fp8xfp8")
  # Each is 1e-3 from float32: x has other scales, weights come elsewhere.
  assert calc_diff(fused, steps) < 4e-3


def test_the_operation_runs_in_bfloat16():
  y = _fused("bf16xbf16").astype(float)
  assert np.all(np.isfinite(y))
  assert np.all(np.any(y, axis=1))


def test_the_floor_is_that_of_weights_or_products(monkeypatch):
  monkeypatch.setattr(jax, "devices", lambda: [None])
  flash = mega_moe.Layer(64, 6, 4096, 2048)
  all_weights = 64 * 3 * 4096 * 2048 / 4.3e6
  assert mega_moe.floor_us(flash, 512) == pytest.approx(all_weights, rel=1e-3)
  assert mega_moe.floor_us(flash, 8192) == pytest.approx(1767, rel=1e-3)
