"""The cases of the einsum benchmark, their operands, and their baseline."""

import dataclasses
import json
from typing import Any

import jax
import jax.numpy as jnp

import jax_deepgemm
from benchmarks import results

_BASELINE = results.BASELINE.with_name("einsum_deepgemm_h200.json")


@dataclasses.dataclass(frozen=True)
class EinsumCase:
  """One expression and its sizes.

  Attributes:
    expr: as `einsum` takes it.
    dtype: "bf16" or "fp8".
    sizes: of each letter, as JSON.
    out_dtype: of the result.
    with_c: c is added.
  """

  expr: str
  dtype: str
  sizes: str
  out_dtype: str
  with_c: bool

  def __getattr__(self, letter: str) -> int:
    """Returns the size of a letter."""
    sizes = json.loads(object.__getattribute__(self, "sizes"))
    if letter not in sizes:
      raise AttributeError(letter)
    return sizes[letter]

  @property
  def letters(self) -> list[str]:
    """Those of a, of b and of the result."""
    operands, result = self.expr.split("->")
    return [*operands.split(","), result]

  def shape(self, letters: str) -> tuple[int, ...]:
    """Returns the sizes of `letters`."""
    return tuple(getattr(self, letter) for letter in letters)

  @property
  def products(self) -> int:
    """How many numbers are multiplied with one another."""
    total = 1
    for letter in json.loads(self.sizes):
      total *= getattr(self, letter)
    return total

  @property
  def num_bytes(self) -> int:
    """Bytes that are read and written at least, scales not counted."""
    *operands, result = (len_of(self.shape(x)) for x in self.letters)
    size = 4 if self.out_dtype == "float32" else 2
    size *= 2 if self.with_c else 1
    return sum(operands) * (2 if self.dtype == "bf16" else 1) + result * size


def len_of(shape: tuple[int, ...]) -> int:
  """Returns the elements of an array."""
  total = 1
  for size in shape:
    total *= size
  return total


def cases() -> list[EinsumCase]:
  """Returns all cases."""
  rows = results.read(results.CASES / "einsum.json")["rows"]
  return [
    EinsumCase(**(row | {"sizes": json.dumps(row["sizes"])})) for row in rows
  ]


def long_k_cases() -> list[EinsumCase]:
  """Returns those of the expression that sums over two dimensions."""
  return [case for case in cases() if case.expr == "bmk,bnk->mn"]


def baseline_us(case: EinsumCase) -> float | None:
  """Returns DeepGEMM's time, or None where there is none."""
  for row in results.read(_BASELINE)["rows"]:
    keys = ("expr", "dtype", "out_dtype")
    is_it = all(row[key] == getattr(case, key) for key in keys)
    if is_it and row["sizes"] == json.loads(case.sizes):
      return row["us_median"]
  return None


def operands(case: EinsumCase) -> tuple[Any, ...]:
  """Returns a, b and perhaps c, normal random; pairs if quantised."""
  keys = jax.random.split(jax.random.key(0), 3)
  arrays = [
    jax.random.normal(key, case.shape(letters), jnp.bfloat16)
    for key, letters in zip(keys, case.letters, strict=True)
  ]
  a, b, c = arrays
  c = (c.astype(case.out_dtype),) if case.with_c else ()
  if case.dtype == "bf16":
    return a, b, *c
  return *_quantised(case, a, b), *c


def _quantised(case: EinsumCase, a: jax.Array, b: jax.Array) -> tuple[Any, Any]:
  """Returns the operands with scales of 128 along what is summed."""
  if case.expr == "bhd,bhr->hdr":
    return _per_channel(a), _per_channel(b)
  by_rows = jax_deepgemm.per_token_cast_to_fp8(a.reshape(-1, a.shape[-1]))
  a_pair = tuple(x.reshape(*a.shape[:2], -1) for x in by_rows)
  return a_pair, tuple(jax.vmap(jax_deepgemm.per_block_cast_to_fp8)(b))


def _per_channel(x: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Returns x `[b, h, d]` with a scale for each 128 of b."""
  flat = x.reshape(x.shape[0], -1)
  values, scales = jax_deepgemm.per_channel_cast_to_fp8(flat)
  return values.reshape(x.shape), scales.reshape(-1, *x.shape[1:])


def compute(case: EinsumCase, a: Any, b: Any, c: Any = None) -> jax.Array:
  """Returns what is timed."""
  dtype = jnp.dtype(case.out_dtype)
  if case.dtype == "bf16":
    return jax_deepgemm.einsum(case.expr, a, b, c, out_dtype=dtype)
  recipe = (1, 1, 128) if case.expr == "bhd,bhr->hdr" else (1, 128, 128)
  return jax_deepgemm.fp8_einsum(
    case.expr, a, b, c, out_dtype=dtype, recipe=recipe
  )


def xla_einsum(case: EinsumCase, a: Any, b: Any, c: Any = None) -> jax.Array:
  """Returns XLA's einsum of bfloat16 operands."""
  d = jnp.einsum(case.expr, a, b, preferred_element_type=jnp.float32)
  return (d if c is None else c + d).astype(case.out_dtype)
