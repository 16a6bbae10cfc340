"""Operands of the m-grouped benchmarks, and what they time."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

import jax_deepgemm
from benchmarks.m_grouped_cases import ALIGNMENT, MGroupedCase

_E4M3_MAX = 448.0


def operands(case: MGroupedCase) -> tuple[Any, Any, jax.Array]:
  """Returns random A and B as `product` takes them, and the layout's array.

  For FP8 they are pairs (values, scales). Values are normal times 100, which
  uses most exponents of float8_e4m3fn.
  """
  if case.dtype == "bf16":
    return (*tokens(case), layout_array(case))
  keys = jax.random.split(jax.random.key(0), 4)
  a_scales = (*case.a_shape[:-1], -(-case.k // 128))
  b_scales = (len(case.sizes), -(-case.n // 128), -(-case.k // 128))
  return (
    (_values(keys[0], case.a_shape), _scales(keys[1], a_scales)),
    (
      _values(keys[2], (len(case.sizes), case.n, case.k)),
      _scales(keys[3], b_scales),
    ),
    layout_array(case),
  )


def tokens(case: MGroupedCase) -> tuple[jax.Array, jax.Array]:
  """Returns normal random bfloat16 `[m, k]` and `[g, n, k]`."""
  x_key, w_key = jax.random.split(jax.random.key(0))
  w_shape = (len(case.sizes), case.n, case.k)
  return (
    jax.random.normal(x_key, case.a_shape, jnp.bfloat16),
    jax.random.normal(w_key, w_shape, jnp.bfloat16),
  )


def layout_array(case: MGroupedCase) -> jax.Array:
  """Returns what tells the product which rows are whose."""
  if case.layout in ("ragged", "masked"):
    return jnp.asarray(case.sizes, jnp.int32)
  ends, ids, begin = [], [], 0
  for group, size in enumerate(case.sizes):
    padding = -size % ALIGNMENT
    ends.append(begin + size)
    ids += [group] * size + [-1] * padding
    begin += size + padding
  return jnp.asarray(ids if case.layout == "index" else ends, jnp.int32)


def product(case: MGroupedCase) -> Callable[..., jax.Array]:
  """Returns the jitted public function of a case: of a, b, layout's array."""
  name = f"m_grouped_{case.dtype}_gemm_nt_{case.kind}"
  fn = getattr(jax_deepgemm, name)
  if case.kind == "contiguous":
    fn = functools.partial(fn, use_psum_layout=case.layout == "psum")
  return jax.jit(functools.partial(fn, expected_m=case.hint))


@jax.jit
def cast_and_gemm(x, b, group_sizes):
  a = jax_deepgemm.per_token_cast_to_fp8(x)
  return jax_deepgemm.m_grouped_fp8_gemm_nt_ragged(a, b, group_sizes)


@jax.jit
def ragged_dot(x, w, group_sizes):
  return lax.ragged_dot(x, w, group_sizes)


@functools.partial(jax.jit, static_argnums=1)
def _values(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
  """Returns e4m3, a group at a time: all in bfloat16 take twice as much."""
  if len(shape) == 3:
    return lax.map(
      lambda key: _values(key, shape[1:]), jax.random.split(key, shape[0])
    )
  values = 100 * jax.random.normal(key, shape, jnp.bfloat16)
  return values.clip(-_E4M3_MAX, _E4M3_MAX).astype(jnp.float8_e4m3fn)


@functools.partial(jax.jit, static_argnums=1)
def _scales(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
  return jnp.exp2(jax.random.uniform(key, shape, minval=-3, maxval=-1))
