"""The Shardy rule of a GEMM: which dimensions are sharded together."""

import re
from collections.abc import Sequence
from typing import Any

from jax_deepgemm.primitives.gemm_form import GemmForm


def sharding_rule(
  a_shape: Sequence[int],
  b_shape: Sequence[int],
  form: GemmForm,
  *,
  has_c: bool,
) -> tuple[str, dict[str, Any]]:
  """Returns an einsum-like rule, and sizes and kinds of its factors.

  A dimension of size s with scales of granularity r is the compound
  (s / r, r), whose major factor is the scales' dimension: shards of the values
  and of their scales then belong together. Where r does not divide s, or there
  is one block only, neither is sharded.

  Args:
    a_shape: `[g, m, k]`, or as `form` says.
    b_shape: `[g, n, k]`, likewise.
    form: of the operands.
    has_c: there is one more operand `[g, m, n]`.
  """
  factors = _Factors()
  size_m, size_k = form.of_a(a_shape)[1:]
  size_n = form.of_b(b_shape)[1]
  m, scales_m = factors.rows("m", size_m, form.recipe_a[0])
  n, scales_n = factors.rows("n", size_n, form.recipe_b[0])
  k, scales_ka, scales_kb = factors.contraction(
    size_k, form.recipe_a[1], form.recipe_b[1]
  )
  packed_k = k
  if form.b_codes_per_element > 1:
    packed_k = factors.packed_contraction(k, form.b_codes_per_element)
  a = [form.of_a((m, k)), (scales_m, scales_ka)][: form.arrays]
  b = [form.of_b((n, packed_k)), (scales_n, scales_kb)][: form.arrays]
  operands = [f"g {rows} {columns}" for rows, columns in (*a, *b)]
  if has_c:
    operands.append(f"g {m} {n}")
  rule = f"{', '.join(operands)} -> g {m} {n}"
  return rule, factors.properties(rule)


class _Factors:
  """Collects the factors that need a size or are replicated or reduced."""

  def __init__(self) -> None:
    self._sizes: dict[str, int] = {}
    self._replicated: list[str] = []
    self._reduced: list[str] = []

  def rows(self, name: str, size: int, granularity: int) -> tuple[str, str]:
    """Returns the factors of a row dimension and of its scales."""
    if granularity == 1:
      return name, name
    if size % granularity or size == granularity:
      self._replicated += [name, f"{name}s"]
      return name, f"{name}s"
    return self._compound(name, f"{name}i", granularity), name

  def contraction(
    self, size: int, granularity_a: int, granularity_b: int
  ) -> tuple[str, str, str]:
    """Returns the factors of k and of the scales of a and b along k."""
    block = max(granularity_a, granularity_b)
    if block == 1:
      self._reduced.append("k")
      return "k", "k", "k"
    if size % block or size == block:
      self._replicated += ["k", "ka", "kb"]
      return "k", "ka", "kb"
    self._reduced.append("k")
    scales = [
      "k"
      if granularity == block
      else self._compound("k", name, block // granularity)
      for name, granularity in (("ka", granularity_a), ("kb", granularity_b))
    ]
    return self._compound("k", "ki", block), *scales

  def packed_contraction(self, k: str, codes_per_element: int) -> str:
    """Returns the factors of k where elements hold several codes each."""
    if k == "k":
      self._replicated.append("kp")
      return "kp"
    return self._compound("k", "kp", self._sizes["ki"] // codes_per_element)

  def _compound(self, major: str, minor: str, minor_size: int) -> str:
    self._sizes[minor] = minor_size
    self._replicated.append(minor)
    return f"({major} {minor})"

  def properties(self, rule: str) -> dict[str, Any]:
    """Returns the keyword arguments that go with the rule."""
    # Shardy wants special factors in the order in which the rule names them.
    names = re.findall(r"\w+", rule)
    return {
      "reduction_factors": tuple(self._reduced),
      "need_replication_factors": tuple(
        sorted(self._replicated, key=names.index)
      ),
      **self._sizes,
    }
