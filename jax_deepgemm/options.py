"""Trace-time options: one frozen dataclass that is part of jit's cache key.

Public functions read the options when they bind and pass them on as a static
parameter; lowering rules and backward passes use that parameter, so a gradient
taken inside `with options(...)` keeps them wherever its backward pass runs.
"""

import contextlib
import dataclasses
import operator
from collections.abc import Iterator
from typing import Any

import jax

from jax_deepgemm.environment import ENVIRONMENT

IMPLEMENTATIONS = ("auto", "kernel", "reference")


@dataclasses.dataclass(frozen=True)
class Options:
  """How kernels are chosen and launched; no option changes what is computed.

  Attributes:
    num_sms: streaming multiprocessors that a kernel may use; None is all.
    tc_util: share of the tensor cores' issue rate, 0 to 100. No effect on
      Hopper: DeepGEMM throttles Blackwell kernels only.
    pdl: launch with programmatic dependent launch. Saves 1.2-1.6 us per
      kernel outside CUDA graphs, costs 0.3-0.4 us between captured calls.
    mk_alignment: rows that each group of a contiguous grouped GEMM starts at a
      multiple of.
    ignore_compile_dims: no effect on Hopper: its kernels take every size at
      run time.
    block_size_multiple_of: tile sizes in m and n must be multiples of these.
    implementation: "auto" takes the kernel on a Hopper GPU and jnp elsewhere;
      "kernel" fails where there is no kernel; "reference" is jnp everywhere.
    device: name of the GPU to lower for, such as "NVIDIA H200"; None is the
      GPU of this process, or an H200 if it has none.
    debug_checks: report device-side faults, such as a group id out of range.
    batch_invariant: keep one order of summation over k for all sizes of m.
    embed_cubin: put the machine code into the program instead of its recipe,
      for export to a place without a compiler.

  Raises:
    TypeError: a field has the wrong type.
    ValueError: a field is out of its range.
  """

  num_sms: int | None = None
  tc_util: int = 100
  pdl: bool = False
  mk_alignment: int = 128
  ignore_compile_dims: bool = False
  block_size_multiple_of: tuple[int, int] = (1, 1)
  implementation: str = "auto"
  device: str | None = None
  debug_checks: bool = False
  batch_invariant: bool = False
  embed_cubin: bool = False

  def __post_init__(self) -> None:
    # jit's cache compares by equality, where 1 == True == 1.0: each field has
    # exactly one type, or a change of type alone would not be seen.
    if self.num_sms is not None:
      self._normalise_integer("num_sms", 1, None)
    self._normalise_integer("tc_util", 0, 100)
    self._normalise_integer("mk_alignment", 1, None)
    for name in _FLAG_NAMES:
      if not isinstance(getattr(self, name), bool):
        raise TypeError(f"{name} must be a bool, got {getattr(self, name)!r}")
    pair = _pair(self.block_size_multiple_of)
    object.__setattr__(self, "block_size_multiple_of", pair)
    if self.implementation not in IMPLEMENTATIONS:
      raise ValueError(
        f"implementation must be one of {', '.join(IMPLEMENTATIONS)},"
        f" got {self.implementation!r}"
      )
    if self.device is not None and not isinstance(self.device, str):
      raise TypeError(
        f"device must be the name of a GPU or None, got {self.device!r}"
      )

  def _normalise_integer(
    self, name: str, lowest: int, highest: int | None
  ) -> None:
    value = _integer(name, getattr(self, name), lowest, highest)
    object.__setattr__(self, name, value)


_FLAG_NAMES = (
  "pdl",
  "ignore_compile_dims",
  "debug_checks",
  "batch_invariant",
  "embed_cubin",
)


def _integer(name: str, value: Any, lowest: int, highest: int | None) -> int:
  """Returns `value` as an int of the range; a bool is no integer here."""
  try:
    if isinstance(value, bool):
      raise TypeError
    number = operator.index(value)
  except TypeError:
    raise TypeError(f"{name} must be an integer, got {value!r}") from None
  if number < lowest or (highest is not None and number > highest):
    bounds = f">= {lowest}" if highest is None else f"{lowest} to {highest}"
    raise ValueError(f"{name} must be {bounds}, got {number}")
  return number


def _pair(value: Any) -> tuple[int, int]:
  """Returns (m, n) from a pair, or from one integer that stands for both."""
  name = "block_size_multiple_of"
  pair = value if isinstance(value, (tuple, list)) else (value, value)
  if len(pair) != 2:
    raise ValueError(f"{name} must be an integer or a pair, got {value!r}")
  return _integer(name, pair[0], 1, None), _integer(name, pair[1], 1, None)


# Created at import: jit functions that were traced before would miss once.
_context = jax.make_user_context(Options(debug_checks=ENVIRONMENT.debug))


def current() -> Options:
  """Returns the options in force in this thread."""
  return _context.value


@contextlib.contextmanager
def options(**changes: Any) -> Iterator[Options]:
  """Returns a context in which `changes` hold, in this thread.

  A function that was jitted under other options is traced again. Contexts
  nest: fields that are not named keep the value of the context around.

  Args:
    **changes: fields of `Options`.

  Raises:
    TypeError: there is no such option, or it has the wrong type.
    ValueError: an option is out of its range.
  """
  changed = _replaced(current(), changes)
  with _context(changed):
    yield changed


def set_globally(**changes: Any) -> None:
  """Changes options for all threads; `with options(...)` goes before it."""
  _context.set_global(_replaced(_context.get_global(), changes))


def _replaced(base: Options, changes: dict[str, Any]) -> Options:
  names = [field.name for field in dataclasses.fields(Options)]
  for name in changes:
    if name not in names:
      raise TypeError(f"there is no option {name!r}; options are {names}")
  return dataclasses.replace(base, **changes)
