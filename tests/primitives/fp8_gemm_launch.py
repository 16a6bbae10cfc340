"""Launches of dense FP8 GEMMs with a configuration that a test names."""

import functools

import jax
import jax.numpy as jnp

import jax_deepgemm
from benchmarks import kernel_programs
from jax_deepgemm.primitives import sm90_fp8_gemm


def launch(m, n, k, *, c=False, recipe=None, **options):
  """Returns the one launch of `fp8_gemm_nt` on an H200, read without a GPU."""
  rows = n if recipe == (1, 1, 128) else -(-n // 128)
  fp8, f32 = jnp.float8_e4m3fn, jnp.float32
  blocks = -(-k // 128)
  a = (
    jax.ShapeDtypeStruct((m, k), fp8),
    jax.ShapeDtypeStruct((m, blocks), f32),
  )
  b = (
    jax.ShapeDtypeStruct((n, k), fp8),
    jax.ShapeDtypeStruct((rows, blocks), f32),
  )
  operands = [a, b]
  if c:
    operands.append(jax.ShapeDtypeStruct((m, n), jnp.bfloat16))
  gemm = functools.partial(jax_deepgemm.fp8_gemm_nt, recipe=recipe)
  with jax_deepgemm.options(**options):
    lowered = kernel_programs.lowered_for(
      jax.jit(gemm), *operands, device="NVIDIA H200"
    )
  (found,) = kernel_programs.launches(lowered)
  return found


def launcher(monkeypatch, legal):
  """Returns `launch` with the first of `legal` that has certain `fields`."""

  def choose(problem, device, *, fields, prefetch_weights, **kwargs):
    del kwargs
    configs = legal(problem, device, prefetch_weights=prefetch_weights)
    return next(
      config
      for config in configs
      if all(getattr(config, name) == fields[name] for name in fields)
    )

  def launch_with(*shape, fields, **kwargs):
    choice = functools.partial(choose, fields=fields)
    monkeypatch.setattr(sm90_fp8_gemm, "choose", choice)
    return launch(*shape, **kwargs)

  return launch_with


def params_of(found, names):
  """Returns the parameters of a launch by their names, which are in order."""
  return {name: found["params"][f"p{i:02}"] for i, name in enumerate(names)}
