"""Small casts, one for each form of the kernels, and how to run them."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np

from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import (
  cast_reference,
  launch,
  sm90_cast_rows,
  sm90_cast_tile,
)
from jax_deepgemm.primitives.cast_form import CastForm

_BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
_DENORMAL = 1e-39


@dataclasses.dataclass(frozen=True)
class CastCase:
  """A cast of an x of `shape`; `sizes` are those of a grouped form."""

  shape: tuple[int, ...]
  form: CastForm
  float32_in: bool = False
  sizes: tuple[int, ...] = ()
  rows_per_thread: int = 1

  def id(self) -> str:
    name = f"cast-{self.form.kind}-{'x'.join(map(str, self.shape))}"
    flags = [f"gran={self.form.gran}"] if self.form.gran != 128 else []
    flags += ["ue8m0"] if self.form.use_ue8m0 else []
    flags += ["mn_major"] if self.form.mn_major else []
    flags += ["fp4"] if self.form.fp4 else []
    flags += ["packed"] if self.form.packed else []
    flags += ["float32"] if self.float32_in else []
    flags += [f"loads={self.rows_per_thread}"] * (self.rows_per_thread > 1)
    flags += ["sizes=" + ",".join(map(str, self.sizes))] * bool(self.sizes)
    return "-".join([name, *flags])

  def run(self, emulator, seed):
    return flat(run_cast(self, emulator, seed))

  def expected(self):
    exact = flat(expected_cast(self))
    return exact, np.zeros_like(exact)

  def wrong_elements(self, result):
    return np.argwhere(_bits(result) != _bits(self.expected()[0]))

  def roles(self, kernel):
    return [f"casts {i}" for i in range(kernel.threads // 32)]


def cast_case(kind, *shape, **fields):
  names = {field.name for field in dataclasses.fields(CastForm)}
  form = {name: fields.pop(name) for name in names & fields.keys()}
  return CastCase(shape, CastForm(kind, **form), **fields)


@functools.cache
def operand(case):
  """Returns x: magnitudes that differ by rows and columns, and bad values.

  Neighbours have other scales, so that a wrong one shows; ties of the rounding,
  zeros of both signs and denormals are among the values.
  """
  random = np.random.default_rng(7)
  *batch, rows, columns = case.shape
  x = random.standard_normal(case.shape)
  x *= np.exp2(random.integers(-6, 6, (*batch, rows, 1)))
  x *= np.exp2(random.integers(-6, 6, (*batch, 1, columns)))
  x[..., 0, :] *= 1e-7  # Below the smallest amax.
  flat = x.reshape(-1)
  count = max(flat.size // 16, 1)
  for special in (0.0, -0.0, _DENORMAL, -_DENORMAL, 17.0, 448.0):
    # Not in the small row.
    flat[random.integers(min(columns, flat.size - 1), flat.size, count)] = (
      special
    )
  if rows > 1 and flat.size > 4096 and case.form.kind != "grouped":
    # In a corner that leaves most blocks without them.
    flat[3], flat[columns + 140 % columns] = np.nan, -np.inf
  if case.sizes:
    # What belongs to no group must not be looked at.
    x[min(sum(max(s, 0) for s in case.sizes), rows) :] = np.nan
  return x.astype(np.float32 if case.float32_in else _BFLOAT16)


def operands(case):
  x = jnp.asarray(operand(case))
  if case.form.kind != "grouped":
    return (x,)
  return x, jnp.asarray(np.array(case.sizes, np.int32))


def run_cast(case, emulator, seed):
  """Returns values and scales as the emulator computes them."""
  rows = case.form.kind == "rows"
  kernel = sm90_cast_rows if rows else sm90_cast_tile
  call, loads = launch.call, sm90_cast_rows.rows_per_thread
  launch.call = emulator.launcher(seed)
  sm90_cast_rows.rows_per_thread = lambda *sizes: case.rows_per_thread
  try:
    results = kernel.run(
      *operands(case), form=case.form, options=Options(), device=H200
    )
  finally:
    launch.call, sm90_cast_rows.rows_per_thread = call, loads
  return [np.asarray(result) for result in results]


@functools.cache
def expected_cast(case):
  """Returns values and scales as the reference computes them."""
  cast = jax.jit(cast_reference.cast, static_argnames="form")
  results = cast(*operands(case), form=case.form)
  return [np.asarray(result) for result in results]


def flat(results):
  """Returns values and scales as one float32 vector: all bits but NaN's."""
  # Packed scales have more bits than a float32.
  results = [x.view(np.uint8) if x.dtype == np.int32 else x for x in results]
  return np.concatenate([x.astype(np.float32).ravel() for x in results])


def wrong_results(results, expected):
  """Returns (result, index) of each element with other bits.

  All NaN are the same: the sign of one depends on the platform.
  """
  wrong = []
  for i, (actual, wanted) in enumerate(zip(results, expected, strict=True)):
    assert (actual.shape, actual.dtype) == (wanted.shape, wanted.dtype)
    differs = _bits(actual) != _bits(wanted)
    wrong += [(i, *index) for index in np.argwhere(differs).tolist()]
  return wrong


def _bits(x):
  unsigned = {1: np.uint8, 4: np.uint32}[x.dtype.itemsize]
  return np.where(
    np.isnan(x.astype(np.float32)), -1, x.view(unsigned).astype(int)
  )


def check_cast(case, emulator, seed):
  """Raises AssertionError unless all bits are right."""
  wrong = wrong_results(run_cast(case, emulator, seed), expected_cast(case))
  assert not wrong, f"{len(wrong)} elements are wrong, the first {wrong[0]}"
