"""vmap of fp8_gemm_nt: the loop's values, in one launch."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_deepgemm as dg
from tests.primitives.gemm_oracle import scaled

BATCH = 3


def gemm(av, asf, bv, bsf, c, recipe=(1, 128, 128)):
  return dg.fp8_gemm_nt(
    (av, asf), (bv, bsf), c, out_dtype=jnp.float32, recipe=recipe
  )


def operands(m, n, k, recipe, size=BATCH):
  """Returns a, sfa, b, sfb and c, each with a leading batch dimension."""
  gran_m, gran_n, gran_k = recipe
  a = [scaled(m, k, (gran_m, gran_k), 10 + i) for i in range(size)]
  b = [scaled(n, k, (gran_n, gran_k), 50 + i) for i in range(size)]
  c = np.random.default_rng(7).normal(size=(size, m, n)).astype(np.float32)
  stacked = [
    np.stack(x) for x in (*zip(*a, strict=True), *zip(*b, strict=True))
  ]
  return [jnp.asarray(x) for x in (*stacked, c)]


def loop(arrays, batched, recipe):
  return np.stack(
    [
      gemm(
        *(x[i] if b else x[0] for x, b in zip(arrays, batched, strict=True)),
        recipe,
      )
      for i in range(BATCH)
    ]
  )


def num_launches(f, *arrays):
  jaxpr = jax.make_jaxpr(f)(*arrays)
  return str(jaxpr).count("fp8_gemm[")


@pytest.mark.parametrize(
  "batched",
  [b for b in itertools.product([False, True], repeat=5) if any(b)],
  ids=lambda b: "".join("x" if x else "-" for x in b),
)
def test_any_subset_of_operands_can_be_batched(batched):
  recipe = (1, 128, 128)
  arrays = operands(6, 256, 130, recipe)
  inputs = [x if b else x[0] for x, b in zip(arrays, batched, strict=True)]
  mapped = jax.vmap(gemm, [0 if b else None for b in batched])
  np.testing.assert_allclose(
    mapped(*inputs), loop(arrays, batched, recipe), rtol=2e-6, atol=1e-6
  )
  assert num_launches(mapped, *inputs) == 1


@pytest.mark.parametrize("n", [256, 100], ids=["whole blocks", "cut blocks"])
@pytest.mark.parametrize("m", [128, 5], ids=["whole rows", "cut rows"])
@pytest.mark.parametrize(
  "recipe", [(1, 1, 128), (128, 128, 128), (1, 128, 128)]
)
@pytest.mark.parametrize("side", ["a", "b"])
def test_blocks_are_never_shared_between_elements(m, n, recipe, side):
  arrays = operands(m, n, 128, recipe)
  batched = [side == "a"] * 2 + [side == "b"] * 2 + [True]
  inputs = [x if b else x[0] for x, b in zip(arrays, batched, strict=True)]
  mapped = jax.vmap(
    lambda *x: gemm(*x, recipe), [0 if b else None for b in batched]
  )
  np.testing.assert_allclose(
    mapped(*inputs), loop(arrays, batched, recipe), rtol=2e-6, atol=1e-6
  )
  assert num_launches(mapped, *inputs) == 1


def test_batch_dimensions_may_be_anywhere():
  arrays = operands(6, 256, 130, (1, 128, 128))
  dims = (2, 1, 1, 0, 2)
  moved = [jnp.moveaxis(x, 0, d) for x, d in zip(arrays, dims, strict=True)]
  found = jax.vmap(gemm, dims, out_axes=1)(*moved)
  expected = loop(arrays, [True] * 5, (1, 128, 128))
  np.testing.assert_allclose(
    np.moveaxis(found, 1, 0), expected, rtol=2e-6, atol=1e-6
  )


@pytest.mark.parametrize("outer", ["a", "b", "ab"])
@pytest.mark.parametrize("inner", ["a", "b", "ab"])
def test_nested_vmaps_are_one_launch(inner, outer):
  recipe = (1, 128, 128)
  flat = operands(4, 128, 130, recipe, size=6)[:4]
  grid = [x.reshape(2, 3, *x.shape[1:]) for x in flat]

  def axis(levels):
    return [0 if side in levels else None for side in "aabb"]

  inputs = []
  for x, side in zip(grid, "aabb", strict=True):
    x = x if side in outer else x[0]
    inputs.append(x if side in inner else x.take(0, axis=int(side in outer)))

  def f(*x):
    return gemm(*x, None)

  mapped = jax.vmap(jax.vmap(f, axis(inner)), axis(outer))
  found = mapped(*inputs)
  for i, j in np.ndindex(2, 3):
    one = [
      x[i if side in outer else 0, j if side in inner else 0]
      for x, side in zip(grid, "aabb", strict=True)
    ]
    np.testing.assert_allclose(found[i, j], f(*one), rtol=2e-6, atol=1e-6)
  assert num_launches(mapped, *inputs) == 1


def test_batched_weights_are_not_transposed_nor_their_result():
  a, sfa, b, sfb, _ = operands(6, 256, 128, (1, 128, 128))

  def f(*x):
    return gemm(*x, None)

  mapped = jax.vmap(f, (None, None, 0, 0), out_axes=1)
  text = jax.jit(mapped).lower(a[0], sfa[0], b, sfb).compile().as_text()
  assert "while" not in text
  assert " transpose(" not in text


def test_plain_operands_are_batched_too():
  rng = np.random.default_rng(0)
  a = jnp.asarray(rng.normal(size=(BATCH, 6, 140)), jnp.float32)
  b = jnp.asarray(rng.normal(size=(BATCH, 130, 140)), jnp.float32)
  found = jax.vmap(dg.fp8_gemm_nt)(a, b)
  expected = np.stack([dg.fp8_gemm_nt(x, y) for x, y in zip(a, b, strict=True)])
  np.testing.assert_array_equal(found, expected)


def test_an_empty_batch_gives_an_empty_result():
  arrays = [x[:0] for x in operands(4, 128, 130, (1, 128, 128))]
  assert jax.vmap(gemm)(*arrays).shape == (0, 4, 128)
