"""What a cast computes, and the shapes of its results."""

import dataclasses

import jax.numpy as jnp

from jax_deepgemm.alignment import align, ceil_div

KINDS = ("rows", "columns", "blocks", "transposed", "both", "grouped")
BLOCK = 128

Shape = tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class CastForm:
  """A static parameter of the primitive.

  With x `[..., m, n]`, blocks of gran and p4(i) = align(i, 4):

  | kind | scale per | values | scales |
  |---|---|---|---|
  | rows | 1 x gran | `[..., m, n]` | `[..., m, ceil(n / gran)]` |
  | rows, fp4 | 1 x gran | `[..., m, n / 2]` | `[..., m, ceil(n / gran)]` |
  | rows, fp4, packed | 1 x 32 | `[..., m, n / 2]` | `[..., m, ceil(n / 128)]` |
  | rows, mn_major | 1 x gran | `[..., m, n]` | `[..., ceil(n / gran), p4(m)]` |
  | columns | gran x 1 | `[..., m, n]` | `[..., ceil(m / gran), n]` |
  | blocks | gran x gran | `[..., m, n]` | `[..., ceil / gran, ceil / gran]` |
  | transposed | gran x 1 | `[..., n, m]` | `[..., ceil(m / gran), p4(n)]` |
  | both | | those of rows, mn_major | and of transposed |
  | grouped | 128 x 1 | `[n, padded]` | `[padded / 128, p4(n)]` |

  Columns of scales past the last row of what they scale are zero. Grouped has
  a second operand, int32 sizes `[g]` of the groups that the rows of x are cut
  into; padded = align(m, 128) + 128 g.

  Attributes:
    kind: as above.
    gran: rows or columns that share a scale.
    use_ue8m0: scales are powers of two.
    mn_major: see the table.
    fp4: values are e2m1, two in an int8, else e4m3.
    packed: scales are exponents, four to an int32, those past n of 1.0.
  """

  kind: str
  gran: int = BLOCK
  use_ue8m0: bool = False
  mn_major: bool = False
  fp4: bool = False
  packed: bool = False

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
      case "rows":
        return (x, (*batch, m, ceil_div(n, self.gran)))
      case "columns":
        return (x, (*batch, ceil_div(m, self.gran), n))
      case "blocks":
        return (x, (*batch, ceil_div(m, self.gran), ceil_div(n, self.gran)))
      case "transposed":
        return ((*batch, n, m), columns)
      case "both":
        return (x, rows, (*batch, n, m), columns)
      case "grouped":
        padded = padded_k(m, num_groups)
        return ((n, padded), (padded // BLOCK, align(n, 4)))
    raise ValueError(f"kind must be one of {KINDS}, got {self.kind!r}")

  def dtypes(self, num_results: int) -> tuple[jnp.dtype, ...]:
    """Returns the dtypes of that many results: values, scales, ..."""
    values = jnp.int8 if self.fp4 else jnp.float8_e4m3fn
    scales = jnp.int32 if self.packed else jnp.float32
    return (jnp.dtype(values), jnp.dtype(scales)) * (num_results // 2)


def padded_k(sum_k: int, num_groups: int) -> int:
  """Returns columns enough for groups that start at multiples of 128."""
  return align(sum_k, BLOCK) + BLOCK * num_groups
