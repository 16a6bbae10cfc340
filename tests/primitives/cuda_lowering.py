"""Reads the programs that are lowered for a GPU, on a machine without one."""

import re

import jax


def lowered_for_cuda(f, *args, **jit_options) -> str:
  """Returns the StableHLO text of jit(f)(*args) for a GPU."""
  traced = jax.jit(f, **jit_options).trace(*args)
  return traced.lower(lowering_platforms=("cuda",)).as_text()


def launches(text: str) -> list[str]:
  """Returns the lines that launch kernels."""
  return [line for line in text.splitlines() if "@jax_deepgemm_launch" in line]


def product_launches(text: str) -> list[str]:
  """Returns the lines that launch kernels other than casts."""
  lines = launches(text)
  return [line for line in lines if 'kernel = "sm90_cast_' not in line]


def attribute(text: str, name: str) -> str:
  """Returns the value of the first attribute of that name."""
  pattern = rf"\b{name} = (dense<.*?>|\"[^\"]*\"|[^ ,}}]+)"
  return re.search(pattern, text).group(1)
