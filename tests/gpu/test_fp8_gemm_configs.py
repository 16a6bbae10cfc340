"""Every form of the kernel, not just those that the heuristics choose."""

import functools
import random

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.heuristics.sm90_fp8_gemm import Fp8GemmProblem, legal_configs
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import kernel_library, sm90_fp8_gemm
from tests.gpu.gemm_data import (
  poison_device_memory,
  product,
  row_error,
  scaled_operands,
)

pytestmark = pytest.mark.gpu

NUM_CONFIGS = 20
NUM_CONFIGS_OF_ENDS = 8


def _sample(count, m, n, k, **kwargs):
  problem = Fp8GemmProblem(m, n, k, **kwargs)
  configs = sorted(legal_configs(problem, H200), key=str)
  return random.Random(m).sample(configs, count)


@pytest.mark.parametrize(
  ("m", "n", "k", "kwargs"),
  [
    (517, 712, 512, {}),
    (40, 1032, 1024, {}),
    (40, 264, 1000, {}),
    (333, 264, 384, {"float32_out": True, "with_c": True}),
    (260, 328, 512, {"sfb_per_row": True}),
  ],
)
def test_sampled_configurations_are_right(monkeypatch, m, n, k, kwargs):
  configs = _sample(NUM_CONFIGS, m, n, k, **kwargs)
  _assert_are_right(monkeypatch, configs, m, n, k, **kwargs)


@pytest.mark.parametrize("m", [65, 129, 257])
@pytest.mark.parametrize("k", [512, 1000])
def test_a_may_end_a_row_beyond_a_tile(monkeypatch, m, k):
  configs = _sample(NUM_CONFIGS_OF_ENDS, m, 264, k)
  _assert_are_right(monkeypatch, configs, m, 264, k)


def _assert_are_right(monkeypatch, configs, m, n, k, **kwargs):
  poison_device_memory()
  a, b = scaled_operands(m, n, k, sfb_per_row=kwargs.get("sfb_per_row", False))
  out_dtype = jnp.float32 if kwargs.get("float32_out") else jnp.bfloat16
  c = jnp.ones((1, m, n), out_dtype) if kwargs.get("with_c") else None
  expected = product(a, b, None if c is None else c[0])
  operands = [jnp.asarray(x)[None] for x in (*a, *b)]
  bound = 5e-4 if out_dtype == jnp.float32 else 1e-2
  wrong = []
  for config in configs:
    kernel_library.library().prefetch(sm90_fp8_gemm.recipe(config))
  run = functools.partial(
    sm90_fp8_gemm.run,
    out_dtype=np.dtype(out_dtype),
    recipe_a=(1, 128),
    recipe_b=(1 if kwargs.get("sfb_per_row") else 128, 128),
    options=Options(),
    device=H200,
  )
  for config in configs:
    choice = functools.partial(_always, config)
    monkeypatch.setattr(sm90_fp8_gemm, "choose", choice)
    # A partial of its own, so that jit traces it for this configuration.
    result = jax.jit(functools.partial(run))(*operands, c)
    error = row_error(result[0], expected)
    if not error < bound:
      wrong.append((error, config))
  assert not wrong


def _always(config, *args, **kwargs):
  del args, kwargs
  return config
