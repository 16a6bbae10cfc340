"""Small casts, one for each form of the kernels, and how to run them."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np

from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.heuristics.sm90_cast import CastSource
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import (
  cast_reference,
  launch,
  sm90_cast_rows,
  sm90_cast_tile,
)
from jax_deepgemm.primitives.cast_form import CastForm
from tests.emulator.produced_operands import operands_of

_BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
_DENORMAL = 1e-39
_TINY = 2.0**-120
# Of approximate functions: codes may be neighbours of the reference's.
_INEXACT = (
  CastSource.SWIGLU,
  CastSource.WEIGHTED_SWIGLU,
  CastSource.SWIGLU_GRADIENT,
)
_MOST_NEIGHBOURS = 0.02


@dataclasses.dataclass(frozen=True)
class CastCase:
  """A cast of `shape`, made of an x; `sizes` are those of a grouped form."""

  shape: tuple[int, ...]
  form: CastForm
  float32_in: bool = False
  sizes: tuple[int, ...] = ()
  rows_per_thread: int = 1

  def id(self) -> str:
    name = f"cast-{self.form.kind}-{'x'.join(map(str, self.shape))}"
    source = self.form.source
    flags = [source.value] if source is not CastSource.PLAIN else []
    flags += [f"gran={self.form.gran}"] if self.form.gran != 128 else []
    flags += ["ue8m0"] if self.form.use_ue8m0 else []
    flags += ["mn_major"] if self.form.mn_major else []
    flags += ["fp4"] if self.form.fp4 else []
    flags += ["packed"] if self.form.packed else []
    flags += [] if self.form.fast_math else ["exact"]
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
    wrong, first = [], 0
    for wanted in expected_cast(self):
      expected = flat([wanted])
      actual = result[first : first + expected.size]
      wrong.append(differs(self, actual, expected, wanted.dtype))
      first += expected.size
    return np.argwhere(np.concatenate(wrong))

  def live_rows(self):
    """Returns how many rows belong to groups: all without them."""
    sizes = (max(size, 0) for size in self.sizes)
    rows = self.shape[-2]
    return min(sum(sizes), rows) if self.form.is_grouped else rows

  def roles(self, kernel):
    return [f"casts {i}" for i in range(kernel.threads // 32)]


def cast_case(kind, *shape, **fields):
  names = {field.name for field in dataclasses.fields(CastForm)}
  form = {name: fields.pop(name) for name in names & fields.keys()}
  return CastCase(shape, CastForm(kind, **form), **fields)


@functools.cache
def operand(case):
  """Returns a matrix: magnitudes that differ by row and column, bad values.

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
  if rows > 1 and flat.size > 4096 and not case.form.is_grouped:
    # In a corner that leaves most blocks without them.
    flat[3], flat[columns + 140 % columns] = np.nan, -np.inf
  # What belongs to no group must not be looked at.
  x[..., case.live_rows() :, :] = np.nan
  return x.astype(np.float32 if case.float32_in else _BFLOAT16)


def operands(case):
  sources = operands_of(case.form.source, operand(case), case.live_rows())
  sizes = [np.array(case.sizes, np.int32)] if case.form.is_grouped else []
  return tuple(map(jnp.asarray, (*sources, *sizes)))


def run_cast(case, emulator, seed):
  """Returns values and scales as the emulator computes them."""
  rows = case.form.kind in sm90_cast_rows.KINDS
  kernel = sm90_cast_rows if rows else sm90_cast_tile
  call, loads = launch.call, sm90_cast_rows.rows_per_thread
  launch.call = emulator.launcher(seed)
  sm90_cast_rows.rows_per_thread = lambda *sizes: case.rows_per_thread
  try:
    # Fewer CTAs than tiles that are taken in turn.
    options = Options(num_sms=1)
    results = kernel.run(
      *operands(case), form=case.form, options=options, device=H200
    )
  finally:
    launch.call, sm90_cast_rows.rows_per_thread = call, loads
  return comparable(case, results)


@functools.cache
def expected_cast(case):
  """Returns values and scales as the reference computes them."""
  cast = jax.jit(cast_reference.cast, static_argnames="form")
  results = cast(*operands(case), form=case.form)
  return _without_denormals(case, [np.asarray(result) for result in results])


def _without_denormals(case, results):
  """Returns results with zeros for what is tiny and not quantised.

  A denormal on the way to it is zero on a CPU, and not in a kernel.
  """
  if case.form.has_scales or case.form.source not in _INEXACT:
    return results
  wide = results[0].astype(np.float32)
  return [np.where(np.abs(wide) < _TINY, wide * 0, wide).astype(_BFLOAT16)]


def flat(results):
  """Returns values and scales as one float32 vector: all bits but NaN's."""
  # Packed scales have more bits than a float32.
  results = [x.view(np.uint8) if x.dtype == np.int32 else x for x in results]
  return np.concatenate([x.astype(np.float32).ravel() for x in results])


def comparable(case, results):
  """Returns the results as NumPy arrays, zeros where they are undefined."""
  results = [np.array(result) for result in results]
  if case.form.kind in ("rows_grouped", "live_rows", "live_values"):
    results[0][case.live_rows() :] = 0
    for scales in results[1:2]:
      scales[:, case.live_rows() :] = 0
  return _without_denormals(case, results)


def wrong_results(case, results, expected):
  """Returns (result, index) of each element that is not the reference's."""
  wrong = []
  for i, (actual, wanted) in enumerate(zip(results, expected, strict=True)):
    assert (actual.shape, actual.dtype) == (wanted.shape, wanted.dtype)
    different = differs(case, actual, wanted, wanted.dtype)
    wrong += [(i, *index) for index in np.argwhere(different).tolist()]
    num_neighbours = np.sum(_bits(actual) != _bits(wanted))
    if num_neighbours > max(_MOST_NEIGHBOURS * actual.size, 4):
      wrong.append((i, "too many", int(num_neighbours)))
  return wrong


def differs(case, actual, wanted, dtype):
  """Returns where results of `dtype` are not as near as they must be.

  Which is the same bits, all NaN being the same: the sign of one depends on
  the platform. Where approximate functions come before the cast, they may be
  the other neighbour in bfloat16, so that a scale differs by 2**-8 of it, and a
  code is next to the reference's.
  """
  if case.form.source not in _INEXACT:
    return _bits(actual) != _bits(wanted)
  actual, wanted = (x.astype(np.float32) for x in (actual, wanted))
  is_code = dtype == ml_dtypes.float8_e4m3fn
  bound = np.abs(wanted) * (2**-3 if is_code else 2**-7)
  bound = np.maximum(bound, 2**-9) if is_code else bound
  with np.errstate(invalid="ignore"):
    is_near = np.abs(actual - wanted) <= bound
  return ~is_near & (_bits(actual) != _bits(wanted))


def _bits(x):
  unsigned = {1: np.uint8, 2: np.uint16, 4: np.uint32}[x.dtype.itemsize]
  return np.where(
    np.isnan(x.astype(np.float32)), -1, x.view(unsigned).astype(int)
  )


def check_cast(case, emulator, seed):
  """Raises AssertionError unless all results are right."""
  wrong = wrong_results(
    case, run_cast(case, emulator, seed), expected_cast(case)
  )
  assert not wrong, f"{len(wrong)} elements are wrong, the first {wrong[0]}"
