"""vmap of m-grouped GEMMs: the loop's values, in one launch where it can be."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.grouped.grouped_oracle import (
  BF16,
  FP8,
  LAYOUTS,
  Problem,
  multiply,
  problem,
)

BATCH, G, N, K = 3, 3, 130, 70
SIZES = ([5, 0, 17], [1, 16, 1], [0, 0, 0])


def problems(layout, rows):
  """Returns one problem for each element, all of `rows` rows."""
  found = []
  for sizes in SIZES:
    p = problem(layout, sizes)
    numbers = p.numbers
    if layout == "index":
      missing = rows - len(numbers)
      numbers = np.pad(numbers, (0, missing), constant_values=-1)
    found.append(Problem(layout, numbers, rows, G))
  return found


def stacked(layout, rows):
  ps = problems(layout, rows)
  rng = np.random.default_rng(0)
  a = rng.normal(size=(BATCH, *ps[0].leading, K))
  b = rng.normal(size=(BATCH, G, N, K))
  numbers = np.stack([p.numbers for p in ps])
  arrays = (*(jnp.asarray(x, jnp.bfloat16) for x in (a, b)), numbers)
  return ps[0], [jnp.asarray(x) for x in arrays]


def check(functions, layout, rows, batched, launches):
  p, arrays = stacked(layout, rows)
  inputs = [x if b else x[0] for x, b in zip(arrays, batched, strict=True)]

  def f(a, b, numbers):
    return multiply(functions, p, a, b, numbers, out_dtype=jnp.float32)

  mapped = jax.vmap(f, [0 if b else None for b in batched])
  found = jax.jit(mapped)(*inputs)
  for i in range(BATCH):
    one = f(
      *(x[i] if b else x[0] for x, b in zip(arrays, batched, strict=True))
    )
    np.testing.assert_allclose(found[i], one, rtol=2e-6, atol=2e-6)
  text = str(jax.make_jaxpr(mapped)(*inputs))
  assert text.count("_gemm[") == 1
  assert ("scan[" not in text) == (launches == 1)


BATCHED = [x for x in itertools.product([False, True], repeat=3) if any(x)]
by_batched = pytest.mark.parametrize(
  "batched", BATCHED, ids=lambda b: "".join("x" if x else "-" for x in b)
)


@by_batched
@pytest.mark.parametrize("layout", ["index", "psum"])
@pytest.mark.parametrize("rows", [48, 53], ids=["whole blocks", "cut blocks"])
def test_contiguous_batches_are_one_launch(layout, rows, batched):
  check(FP8, layout, rows, batched, launches=1)


@by_batched
@pytest.mark.parametrize("rows", [32, 21], ids=["whole blocks", "cut blocks"])
def test_masked_batches_are_one_launch_or_a_loop(rows, batched):
  launches = 1 if batched[1] or rows == 32 else BATCH
  check(FP8, "masked", rows, batched, launches)


@by_batched
def test_ragged_batches_are_a_loop(batched):
  check(FP8, "ragged", 25, batched, launches=BATCH)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("batched", [(1, 0, 1), (1, 1, 1)])
def test_bf16_is_batched_too(layout, batched):
  launches = BATCH if layout == "ragged" else 1
  check(BF16, layout, 48, batched, launches)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_batch_dimensions_may_be_anywhere(layout):
  p, arrays = stacked(layout, 48)

  def f(a, b, numbers):
    return multiply(FP8, p, a, b, numbers, out_dtype=jnp.float32)

  dims = (arrays[0].ndim - 1, 2, 1)
  moved = [jnp.moveaxis(x, 0, d) for x, d in zip(arrays, dims, strict=True)]
  found = jax.vmap(f, dims, out_axes=1)(*moved)
  np.testing.assert_array_equal(np.moveaxis(found, 1, 0), jax.vmap(f)(*arrays))
  assert jax.vmap(f)(*(x[:0] for x in arrays)).shape == (
    0,
    *found.shape[:1],
    *found.shape[2:],
  )


@pytest.mark.parametrize("layout", LAYOUTS)
def test_vmap_of_grad_is_the_loop(layout):
  p, arrays = stacked(layout, 48)

  def f(a, b, numbers):
    return (multiply(FP8, p, a, b, numbers, out_dtype=jnp.float32) ** 2).sum()

  g = jax.grad(f, (0, 1))
  found = jax.jit(jax.vmap(g))(*arrays)
  single = jax.jit(g)
  for i in range(BATCH):
    for x, y in zip(found, single(*(x[i] for x in arrays)), strict=True):
      np.testing.assert_allclose(
        x[i].astype(jnp.float32), y.astype(jnp.float32), rtol=1e-2, atol=1e-2
      )


def test_128_rows_that_share_a_scale_are_never_shared_between_elements():
  p, arrays = stacked("index", 48)

  def f(a, b, numbers):
    return multiply(
      FP8, p, a, b, numbers, recipe=(128, 128, 128), out_dtype=jnp.float32
    )

  found = jax.vmap(f)(*arrays)
  for i in range(BATCH):
    np.testing.assert_allclose(
      found[i], f(*(x[i] for x in arrays)), rtol=2e-6, atol=2e-6
    )
