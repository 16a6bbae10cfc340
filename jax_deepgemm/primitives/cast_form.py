"""What a cast computes, and the shapes of its results."""

import dataclasses
from collections.abc import Sequence
from typing import TypeVar

import jax.numpy as jnp

from jax_deepgemm.alignment import align, ceil_div
from jax_deepgemm.heuristics.sm90_cast import CastSource
from jax_deepgemm.primitives import produced

KINDS = (
  "rows",
  "columns",
  "blocks",
  "blocks_both",
  "transposed",
  "both",
  "grouped",
  "rows_grouped",
  "live_rows",
  "live_values",
)
_GROUPED = ("grouped", "rows_grouped", "live_rows", "live_values")
BLOCK = 128

Shape = tuple[int, ...]
_Operand = TypeVar("_Operand")


@dataclasses.dataclass(frozen=True)
class CastForm:
  """A static parameter of the primitive.

  With x `[..., m, n]`, made of the operands as `source` says, blocks of gran
  and p4(i) = align(i, 4):

  | kind | scale per | values | scales |
  |---|---|---|---|
  | rows | 1 x gran | `[..., m, n]` | `[..., m, ceil(n / gran)]` |
  | rows, fp4 | 1 x gran | `[..., m, n / 2]` | `[..., m, ceil(n / gran)]` |
  | rows, fp4, packed | 1 x 32 | `[..., m, n / 2]` | `[..., m, ceil(n / 128)]` |
  | rows, mn_major | 1 x gran | `[..., m, n]` | `[..., ceil(n / gran), p4(m)]` |
  | columns | gran x 1 | `[..., m, n]` | `[..., ceil(m / gran), n]` |
  | blocks | gran x gran | `[..., m, n]` | `[..., ceil / gran, ceil / gran]` |
  | blocks_both | | those of blocks | and the values' transpose `[..., n, m]` |
  | transposed | gran x 1 | `[..., n, m]` | `[..., ceil(m / gran), p4(n)]` |
  | both | | those of rows, mn_major | and of transposed |
  | grouped | 128 x 1 | `[n, padded]` | `[padded / 128, p4(n)]` |
  | rows_grouped | | those of rows, mn_major | and of grouped |
  | live_rows | | those of rows, mn_major | |
  | live_values | none | `[m, n]` bfloat16, not quantised | none |

  Columns of scales past the last row of what they scale are zero. The last 4
  have one more operand, int32 sizes `[g]` of the groups that the rows of x are
  cut into; padded = align(m, 128) + 128 g. Rows of x past the last group mean
  nothing: of all but grouped, their values and scales, and columns of scales
  past m, are zeros in the reference and undefined in the kernel.

  Attributes:
    kind: as above.
    gran: rows or columns that share a scale.
    use_ue8m0: scales are powers of two.
    mn_major: see the table.
    fp4: values are e2m1, two in an int8, else e4m3.
    packed: scales are exponents, four to an int32, those past n of 1.0.
    source: what x is made of.
    fast_math: kernels may approximate the exponential of WEIGHTED_SWIGLU; those
      of other sources they always do.
  """

  kind: str
  gran: int = BLOCK
  use_ue8m0: bool = False
  mn_major: bool = False
  fp4: bool = False
  packed: bool = False
  source: CastSource = CastSource.PLAIN
  fast_math: bool = True

  @property
  def is_grouped(self) -> bool:
    """Whether the last operand is the sizes of groups."""
    return self.kind in _GROUPED

  @property
  def has_scales(self) -> bool:
    """Whether values are quantised."""
    return self.kind != "live_values"

  def split(
    self, operands: Sequence[_Operand]
  ) -> tuple[tuple[_Operand, ...], tuple[_Operand, ...]]:
    """Returns the operands of the source, and the sizes of groups or none."""
    count = produced.NUM_OPERANDS[self.source]
    return tuple(operands[:count]), tuple(operands[count:])

  def result_shapes(self, *operands: Shape) -> tuple[Shape, ...]:
    """Returns the shapes of the results of operands of these."""
    sources, sizes = self.split(operands)
    x = produced.shape(self.source, *sources)
    return self.shapes(x, *(s[0] for s in sizes))

  def shapes(self, x: Shape, num_groups: int = 0) -> tuple[Shape, ...]:
    """Returns the shapes of values and scales, once or for both."""
    *batch, m, n = x
    rows = (*batch, ceil_div(n, self.gran), align(m, 4))
    columns = (*batch, ceil_div(m, self.gran), align(n, 4))
    match self.kind:
      case "rows" if self.fp4:
        blocks = ceil_div(n, 4 * self.gran if self.packed else self.gran)
        return ((*batch, m, n // 2), (*batch, m, blocks))
      case "rows" if self.mn_major:
        return (x, rows)
      case "live_rows":
        return (x, rows)
      case "live_values":
        return (x,)
      case "rows":
        return (x, (*batch, m, ceil_div(n, self.gran)))
      case "columns":
        return (x, (*batch, ceil_div(m, self.gran), n))
      case "blocks":
        return (x, (*batch, ceil_div(m, self.gran), ceil_div(n, self.gran)))
      case "blocks_both":
        blocks = (*batch, ceil_div(m, self.gran), ceil_div(n, self.gran))
        return (x, blocks, (*batch, n, m))
      case "transposed":
        return ((*batch, n, m), columns)
      case "both":
        return (x, rows, (*batch, n, m), columns)
      case "grouped":
        padded = padded_k(m, num_groups)
        return ((n, padded), (padded // BLOCK, align(n, 4)))
      case "rows_grouped":
        padded = padded_k(m, num_groups)
        return (x, rows, (n, padded), (padded // BLOCK, align(n, 4)))
    raise ValueError(f"kind must be one of {KINDS}, got {self.kind!r}")

  def dtypes(self, num_results: int) -> tuple[jnp.dtype, ...]:
    """Returns the dtypes of that many results: values, scales, ..."""
    if not self.has_scales:
      return (jnp.dtype(jnp.bfloat16),) * num_results
    values = jnp.int8 if self.fp4 else jnp.float8_e4m3fn
    scales = jnp.int32 if self.packed else jnp.float32
    return tuple(
      jnp.dtype(scales if i % 2 else values) for i in range(num_results)
    )


def padded_k(sum_k: int, num_groups: int) -> int:
  """Returns columns enough for groups that start at multiples of 128."""
  return align(sum_k, BLOCK) + BLOCK * num_groups
