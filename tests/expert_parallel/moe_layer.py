"""The layer on fake devices: dispatch, a product for each expert, combine."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

import jax_deepgemm
from tests.expert_parallel.moe_oracle import Routing

TOKENS, TOP_K, WIDTH, OUT, EXPERTS = 6, 3, 136, 24, 8
RANKS = 4
ALONG_A = P("a")
ROWS = RANKS * TOKENS * TOP_K  # Room for any distribution.

# Ids of all ranks' tokens. 8 and below 0 are no experts.
_RANDOM = np.random.default_rng(0)
_SHAPE = (RANKS * TOKENS, TOP_K)
IDS = {
  "random": _RANDOM.integers(0, EXPERTS, _SHAPE),
  "some dropped": _RANDOM.integers(-2, EXPERTS + 2, _SHAPE),
  "all to one expert": np.full(_SHAPE, 5),
  "none to a rank": _RANDOM.choice([0, 1, 2, 6, 7], _SHAPE),
  "none of a rank": np.where(
    np.arange(_SHAPE[0])[:, None] // TOKENS == 2,
    -1,
    _RANDOM.integers(0, EXPERTS, _SHAPE),
  ),
  "none": np.full(_SHAPE, EXPERTS),
}


def routing(ids: str, max_rows: int = ROWS) -> Routing:
  """Returns that of four ranks."""
  return Routing(IDS[ids], RANKS, EXPERTS, max_rows)


def arrays(tokens: int = RANKS * TOKENS) -> tuple[jax.Array, ...]:
  """Returns x, w, weights and dy, whose rows differ by powers of two."""
  random = np.random.default_rng(1)

  def normal(*shape: int) -> jax.Array:
    return jnp.asarray(random.standard_normal(shape), jnp.float32)

  exponents = random.integers(-9, 9, (tokens, 1)).astype(np.float32)
  x = normal(tokens, WIDTH).at[:, 128:].multiply(1e3) * np.exp2(exponents)
  return (
    x,
    normal(EXPERTS, WIDTH, OUT),
    normal(tokens, TOP_K),
    normal(tokens, OUT),
  )


def mesh(*shape: int, devices: Any = None) -> jax.sharding.Mesh:
  """Returns a mesh with axes a, b, ... of these sizes."""
  names = tuple("abc"[: len(shape)])
  types = (AxisType.Auto,) * len(shape)
  return jax.make_mesh(shape, names, axis_types=types, devices=devices)


@jax.custom_vjp
def poisoned(x: jax.Array, is_live: jax.Array) -> jax.Array:
  """Returns x with NaN where it is not live; its gradient has NaN there too."""
  return jnp.where(is_live, x, jnp.asarray(jnp.nan, x.dtype))


poisoned.defvjp(
  lambda x, is_live: (poisoned(x, is_live), is_live),
  lambda is_live, dx: (poisoned(dx, is_live), None),
)


def multiply(tokens: jax.Array, group_sizes: jax.Array, w: jax.Array):
  """Returns tokens[r] @ w[expert of r] in float32, NaN past the last group."""
  ends = jnp.cumsum(group_sizes)
  row = jnp.arange(tokens.shape[0])
  is_live = (row < ends[-1])[:, None]
  expert = jnp.searchsorted(ends, row, side="right")
  live = jnp.where(is_live, poisoned(tokens, is_live), 0).astype(jnp.float32)
  product = jnp.einsum("rd,rdo->ro", live, jnp.take(w, expert, 0, mode="clip"))
  return poisoned(jnp.where(is_live, product, 0), is_live)


def shard(
  x: jax.Array,
  ids: jax.Array,
  w: jax.Array,
  weights: jax.Array,
  axis_name: Any = "a",
  gradient_wire_dtype: Any = jnp.float32,
  out_dtype: Any = jnp.float32,
  **options: Any,
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """Returns y, group sizes and the number dropped of one rank."""
  options = {"wire_dtype": jnp.float32, **options}
  found = jax_deepgemm.ep_dispatch(
    x, ids, num_experts=EXPERTS, axis_name=axis_name, **options
  )
  rows = multiply(found.tokens, found.group_sizes, w).astype(out_dtype)
  y = jax_deepgemm.ep_combine(
    rows, found, weights, gradient_wire_dtype=gradient_wire_dtype
  )
  return y, found.group_sizes, found.num_dropped[None]


def layer(
  mesh: jax.sharding.Mesh,
  rows: P = ALONG_A,
  experts: P = ALONG_A,
  check_vma: bool = True,
  results: P | None = None,
  **options: Any,
):
  """Returns the layer of all devices as a function of x, ids, w, weights."""
  return jax.shard_map(
    functools.partial(shard, **options),
    mesh=mesh,
    in_specs=(rows, rows, experts, rows),
    out_specs=rows if results is None else results,
    check_vma=check_vma,
  )


def with_gradients(f):
  """Returns (y, group sizes, dropped), and gradients of sum(y * dy)."""

  def loss(x, w, weights, ids, dy):
    results = f(x, ids, w, weights)
    y = results[0].astype(jnp.float32)
    return (y * dy).sum(), results

  def both(x, ids, w, weights, dy):
    grads, results = jax.grad(loss, (0, 1, 2), has_aux=True)(
      x, w, weights, ids, dy
    )
    return results, grads

  return jax.jit(both)


def assert_close(found: jax.Array, expected: np.ndarray, bound: float) -> None:
  """Fails unless each row's distance is within `bound` of the largest row."""
  found = np.asarray(found).astype(np.float64)
  assert found.shape == expected.shape
  norm = np.linalg.norm(expected, axis=-1)
  distance = np.linalg.norm(found - expected, axis=-1)
  scale = np.maximum(norm, np.max(norm, initial=0.0) * 1e-3)
  assert np.all(distance <= bound * scale), np.max(distance / scale)
