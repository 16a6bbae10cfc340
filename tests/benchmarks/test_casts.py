"""What the benchmark of casts counts and runs, without a GPU."""

import argparse

import jax
import jax.numpy as jnp
import pytest

from benchmarks import casts
from jax_deepgemm.heuristics.sm90_cast import CastSource
from jax_deepgemm.options import Options

_SHAPE = (64, 256)


@pytest.mark.parametrize("source", CastSource)
@pytest.mark.parametrize("kind", ["rows", "rows_grouped"])
def test_every_case_is_a_cast_of_that_shape(source, kind):
  form = casts._form(kind, source)
  operands = casts._operands(form, _SHAPE, jnp.dtype("bfloat16"))
  results = jax.eval_shape(casts._program(form, Options()), *operands)
  assert results[0].shape == _SHAPE
  written = sum(x.size * x.dtype.itemsize for x in results)
  read = sum(x.nbytes for x in operands)
  assert casts.count_bytes(form, operands) == read + written


def test_cases_are_those_asked_for():
  arguments = argparse.Namespace(
    sources=["plain", "swiglu"], kinds=["both"], rows=[128]
  )
  assert list(casts._cases(arguments)) == [
    (CastSource.PLAIN, "both", (128, 7168)),
    (CastSource.SWIGLU, "both", (128, 7168)),
  ]
