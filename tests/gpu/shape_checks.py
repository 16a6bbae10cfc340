"""Whether a product of the benchmark of cliffs is right, whatever its size.

All of D is checked by its product with a vector of signs, which needs as many
operations as D has elements, and single elements of it in float64.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from benchmarks import cliff_programs

# Of a row's length: rounding to bfloat16 and the tensor cores' sums of FP8 have
# a deviation of 0.0012 of it; 2**-7 is six of these.
_SUM_BOUND = 2.0**-7
_ELEMENT_BOUND = 0.004  # The same of an element, of its terms' length,
_ROUNDING = 2.0**-8  # and of bfloat16, of itself.
_NUM_ELEMENTS = 96


def check(shape, operands, d, sums=None):
  """Asserts that `d` is the product of `operands`.

  Args:
    shape: what `d` is the product of.
    operands: of it.
    d: the result.
    sums: `sums_of(shape)`, compiled.
  """
  sums = sums or sums_of(shape)
  rows, columns = elements_of(shape)
  assert d.dtype == (jnp.float32 if _is_k_grouped(shape) else jnp.bfloat16)
  actual, expected, norms = map(np.asarray, sums(operands, d))
  d = d.reshape(-1, shape.n)
  live = np.asarray(row_groups(shape)) >= 0
  error = np.abs(actual - expected)[live]
  assert np.all(error <= _SUM_BOUND * norms[live])  # NaN passes no bound.
  if _is_k_grouped(shape):
    empty = np.repeat(np.array(shape.sizes) == 0, shape.m)
    assert not np.any(norms[empty])
  exact, length = _exact(shape, operands, rows, columns)
  error = np.abs(np.asarray(d[rows, columns], np.float64) - exact)
  assert np.all(error <= _ELEMENT_BOUND * length + _ROUNDING * np.abs(exact))


def elements_of(shape):
  """Returns rows and columns of D that are compared one by one."""
  random = np.random.default_rng(0)
  group = row_groups(shape)
  live = np.flatnonzero((group >= 0) & (np.array(shape.sizes)[group] > 0))
  rows = random.choice(live, _NUM_ELEMENTS)
  columns = random.integers(0, shape.n, _NUM_ELEMENTS)
  rows[:4] = live[[0, 0, -1, -1]]
  columns[:4] = [0, shape.n - 1, 0, shape.n - 1]
  return rows, columns


def row_groups(shape):
  """Returns the group of each row of D, -1 for none."""
  sizes = np.array(shape.sizes)
  groups = np.arange(len(sizes), dtype=np.int32)
  if _is_k_grouped(shape):
    return np.repeat(groups, shape.m)
  if not shape.family.startswith("m_grouped"):
    return np.zeros(shape.m, np.int32)
  if shape.family.endswith("ragged"):
    return np.repeat(groups, sizes)
  max_m = cliff_programs.m_grouped_case(shape).max_m
  lives = np.arange(max_m) < sizes[:, None]
  return np.where(lives, groups[:, None], -1).reshape(-1)


def _is_k_grouped(shape):
  return shape.family.startswith("k_grouped")


def sums_of(shape):
  """Returns a jitted function of operands and D.

  Its results are the product of D with signs, what that must be, and the
  lengths of D's rows.
  """
  signs = np.random.default_rng(1).choice([-1.0, 1.0], shape.n)

  @jax.jit
  def sums(operands, d):
    of_columns = jnp.asarray(signs, jnp.float32)
    d = d.reshape(-1, shape.n).astype(jnp.float32)
    actual = jnp.dot(d, of_columns, precision=lax.Precision.HIGHEST)
    expected = _expected(shape, operands, of_columns)
    return actual, expected, jnp.linalg.norm(d, axis=1)

  return sums


def compiled_sums(shape):
  """Returns `sums_of(shape)`, compiled for the benchmark's operands."""
  operands = jax.eval_shape(lambda: cliff_programs.operands(shape))
  d = jax.eval_shape(cliff_programs.product(shape), *operands)
  return sums_of(shape).lower(operands, d).compile()


def _expected(shape, operands, signs):
  a, b = _operands(shape, operands)

  def combined(b):
    return jnp.dot(signs, _float32(b), precision=lax.Precision.HIGHEST)

  if _is_k_grouped(shape):
    blocks = (_float32(a) * combined(b)).reshape(shape.m, -1, 128).sum(axis=2)
    group = jnp.asarray(_block_groups(shape, blocks.shape[1]))
    is_of = group == jnp.arange(shape.groups)[:, None]
    picked = jnp.dot(
      is_of.astype(jnp.float32), blocks.T, precision=lax.Precision.HIGHEST
    )
    return picked.reshape(-1)
  group = jnp.maximum(jnp.asarray(row_groups(shape)), 0)
  weights = lax.map(combined, b)
  return jnp.sum(_float32(a) * weights[group], axis=1)


def _operands(shape, operands):
  """Returns A `[rows, k]` and B `[g, n, k]` as (values, scales or None).

  K-grouped ones are `[m, k]` and `[n, k]`, with all groups along k.
  """
  if _is_k_grouped(shape):
    a, sfa, b, sfb, _ = operands
    return (a, sfa[:, : shape.m].T), (b, sfb[:, : shape.n].T)
  a, b = operands[:2]
  if shape.dtype == "bf16":
    a, b = (a, None), (b, None)
  return (
    jax.tree.map(lambda x: x.reshape(-1, x.shape[-1]), tuple(a)),
    jax.tree.map(lambda x: x.reshape(-1, *x.shape[-2:]), tuple(b)),
  )


def _float32(operand):
  """Returns what values `[rows, k]` stand for."""
  values, scales = operand
  x = values.astype(jnp.float32)
  if scales is None:
    return x
  rows, k = x.shape
  if scales.shape[0] != rows:
    scales = jnp.repeat(scales, 128, axis=0)[:rows]
  return x * jnp.repeat(scales, 128, axis=1)[:, :k]


def _block_groups(shape, num_blocks):
  """Returns the group of each packed block of K, -1 behind the last."""
  counts = [-(-size // 128) for size in shape.sizes]
  group = np.repeat(np.arange(shape.groups), counts)
  missing = num_blocks - len(group)
  return np.pad(group, (0, missing), constant_values=-1)


def _exact(shape, operands, rows, columns):
  """Returns elements of D in float64, and the lengths of their terms."""
  (a, sfa), (b, sfb) = _operands(shape, operands)
  group = row_groups(shape)[rows]
  if _is_k_grouped(shape):
    of_a, of_b = (rows % shape.m,), (columns,)
  else:
    of_a, of_b = (rows,), (group, columns)
  left, right = _float64(a, of_a), _float64(b, of_b)
  if sfa is not None:
    scale_row = columns // 128
    of_sfb = of_b if _is_k_grouped(shape) else (group, scale_row)
    k = left.shape[1]
    left = left * np.repeat(_float64(sfa, of_a), 128, axis=1)[:, :k]
    right = right * np.repeat(_float64(sfb, of_sfb), 128, axis=1)[:, :k]
  terms = left * right
  if _is_k_grouped(shape):
    block_groups = _block_groups(shape, terms.shape[1] // 128)
    terms = terms * (np.repeat(block_groups, 128) == group[:, None])
  return terms.sum(axis=1), np.sqrt((terms**2).sum(axis=1))


def _float64(x, index):
  return np.asarray(x[index]).astype(np.float64)
