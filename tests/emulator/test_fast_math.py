"""How near casts of SwiGLU are to float64, with fast math or without."""

import functools

import numpy as np

from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.heuristics.sm90_cast import CastSource
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import launch, sm90_cast_rows
from jax_deepgemm.primitives.cast_form import CastForm
from tests.emulator.emulator import Emulator

_ROWS, _BLOCKS = 32, 4


def gates_and_ups():
  """Returns h whose blocks have one gate each; ups bring silu near to 1."""
  count = _ROWS * _BLOCKS
  gate = np.linspace(-80, 20, count).astype(np.float32)
  exact = silu(gate)
  up = np.exp2(-np.round(np.log2(np.abs(exact)))).astype(np.float32)
  h = np.zeros((2, count, 128), np.float32)
  h[0, :, 5], h[1, :, 5] = gate, up
  h = h.reshape(2, _ROWS, _BLOCKS * 128)
  return np.concatenate(h, axis=1), np.abs(exact * up).reshape(_ROWS, _BLOCKS)


def silu(gate):
  wide = gate.astype(np.float64)
  return wide / (1 + np.exp(-wide))


def largest_error(cast, fast_math):
  """Returns the largest relative error; scales show blocks' values.

  Args:
    cast: returns values and scales of operands and a form.
    fast_math: of the form.
  """
  form = CastForm(
    "rows", source=CastSource.WEIGHTED_SWIGLU, fast_math=fast_math
  )
  h, exact = gates_and_ups()
  operands = (h, np.ones(_ROWS, np.float32), np.float32(np.inf))
  _, scales = cast(*operands, form=form)
  return np.max(np.abs(np.asarray(scales, np.float64) * 448 / exact - 1))


def check_errors(cast):
  """Fails unless fast exponentials are as near as they are said to be."""
  assert 2**-20 < largest_error(cast, fast_math=True) < 2**-18
  # Half a unit each of the exponential, the sum, its inverse, silu and the
  # division by 448 that shows it; the exponential of a GPU has a whole one.
  assert largest_error(cast, fast_math=False) < 3 * 2**-23


def test_slow_exponentials_are_near_to_float64(toolchain, monkeypatch):
  monkeypatch.setattr(launch, "call", Emulator(toolchain).launcher(0))
  check_errors(
    functools.partial(sm90_cast_rows.run, options=Options(), device=H200)
  )
