"""What the m-grouped GEMMs lower to for a GPU; jit's cache and export."""

import collections

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_deepgemm as dg
from jax_deepgemm.jit.recipe import Recipe
from jax_deepgemm.primitives import (
  launch,
  sm90_m_grouped_bf16_gemm,
  sm90_m_grouped_fp8_gemm,
)
from tests.grouped.grouped_oracle import (
  BF16,
  FP8,
  LAYOUTS,
  bf16_operands,
  multiply,
  operands,
  problem,
)
from tests.primitives.cuda_lowering import attribute, launches, lowered_for_cuda

P = {layout: problem(layout, [5, 0, 17], spare=4) for layout in LAYOUTS}


@pytest.fixture(autouse=True)
def no_lowering_of_another_test():
  jax.clear_caches()


@pytest.fixture
def calls(monkeypatch):
  """Replaces the kernels by launches of a fixed shape, and records them."""
  recorded = []

  def run(*arrays, out_dtype, options, device, **params):
    recorded.append((arrays, params | {"options": options, "device": device}))
    a, b = arrays[0], arrays[len(arrays) // 2]
    result = jax.ShapeDtypeStruct((*a.shape[:-1], b.shape[1]), out_dtype)
    call = launch.KernelCall(
      recipe=Recipe("stub", "// source", "sm_90a", "-lineinfo", "0123"),
      grid=(options.num_sms or device.num_sms, 1, 1),
      cluster=(1, 1, 1),
      threads=384,
      smem_bytes=1000,
      pdl=options.pdl,
      params=(launch.Buffer(len(arrays)),),
      embed_cubin=options.embed_cubin,
    )
    return launch.call((call,), arrays, [result])[0]

  for module in (sm90_m_grouped_fp8_gemm, sm90_m_grouped_bf16_gemm):
    monkeypatch.setattr(module, "run", run)
  return recorded


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_fp8_product_is_one_launch(calls, layout):
  p = P[layout]
  a, b = operands(p, 130, 300)

  def f(a, b, numbers):
    settings = {"zero_padding": False} if layout == "masked" else {}
    return multiply(
      FP8, p, a, b, numbers, expected_m=7, out_dtype=jnp.float32, **settings
    )

  with dg.options(device="NVIDIA H20"):
    (line,) = launches(lowered_for_cuda(f, a, b, p.numbers))
  assert "78, 1, 1" in attribute(line, "grid")
  ((arrays, params),) = calls
  assert [x.shape for x in arrays] == [
    (*p.leading, 300),
    (*p.leading, 3),
    (3, 130, 300),
    (3, 2, 3),
    p.numbers.shape,
  ]
  assert arrays[4].dtype == jnp.int32
  assert params.pop("options").mk_alignment == 16
  assert params.pop("device").name == "NVIDIA H20"
  assert params == {
    "layout": layout,
    "alignment": 16 if layout in ("index", "psum") else 1,
    "expected_m": 7,
    "zero_padding": False,
    "recipe_a": (1, 128),
    "recipe_b": (128, 128),
  }


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_bf16_product_is_one_launch(calls, layout):
  p = P[layout]
  a, b = bf16_operands(p, 130, 300)

  def f(a, b, numbers):
    return multiply(BF16, p, a, b, numbers)

  assert len(launches(lowered_for_cuda(f, a, b, p.numbers))) == 1
  ((arrays, params),) = calls
  assert [x.dtype.name for x in arrays] == ["bfloat16", "bfloat16", "int32"]
  assert params["layout"] == layout
  assert params["zero_padding"] == (layout == "masked")
  assert "recipe_a" not in params


def test_a_product_and_its_gradients_are_three_products_and_five_casts():
  for layout in LAYOUTS:
    p = P[layout]
    a, b = bf16_operands(p, 130, 300)

    def loss(a, b, p=p):
      return (multiply(FP8, p, a, b).astype(jnp.float32) ** 2).sum()

    text = lowered_for_cuda(jax.grad(loss, (0, 1)), a, b)
    kernels = collections.Counter(
      attribute(line, "kernel").strip('"') for line in launches(text)
    )
    # A and B; then dY by rows, and by groups along M with A, and B transposed.
    assert kernels == {
      "sm90_m_grouped_fp8_gemm": 2,
      "sm90_k_grouped_fp8_gemm": 1,
      "sm90_cast_rows": 2,
      "sm90_cast_tile": 3,
    }


def test_the_gradient_of_a_has_no_undefined_rows(calls):
  for layout in LAYOUTS:
    p = P[layout]
    a, b = bf16_operands(p, 130, 300)

    def loss(a, b, p=p):
      return (multiply(FP8, p, a, b).astype(jnp.float32) ** 2).sum()

    lowered_for_cuda(jax.grad(loss), a, b)
    assert len(calls) == 2
    assert calls.pop()[1]["zero_padding"]
    calls.clear()


def test_a_batch_of_masked_products_that_share_b_is_one_launch(calls):
  p = problem("masked", [5, 0, 32])
  a, b = operands(p, 130, 300)
  a = jax.tree.map(lambda x: jnp.stack([x] * 4), a)

  def f(a, b):
    return multiply(FP8, p, a, b)

  text = lowered_for_cuda(jax.vmap(f, (0, None)), a, b)
  assert len(launches(text)) == 1
  assert calls[-1][1]["layout"] == "index"
  assert calls[-1][1]["alignment"] == 16


def test_the_reference_can_be_forced(calls):
  p = P["ragged"]
  a, b = operands(p, 130, 300)
  with dg.options(implementation="reference"):
    text = lowered_for_cuda(lambda *x: multiply(FP8, p, *x), a, b)
  assert not launches(text)
  assert not calls


def test_no_kernel_means_no_silent_reference(monkeypatch):
  def run(*arrays, **params):
    raise NotImplementedError("there is none")

  p = P["ragged"]
  for module, functions, make in (
    (sm90_m_grouped_fp8_gemm, FP8, operands),
    (sm90_m_grouped_bf16_gemm, BF16, bf16_operands),
  ):
    monkeypatch.setattr(module, "run", run)
    a, b = make(p, 130, 300)
    with pytest.raises(
      NotImplementedError, match=r"there is none; .*'reference'.* computes it"
    ):
      lowered_for_cuda(lambda *x, f=functions: multiply(f, p, *x), a, b)


def test_an_export_for_both_platforms_runs_here(calls):
  for layout in LAYOUTS:
    p = P[layout]
    a, b = operands(p, 130, 300)

    def f(a, b, p=p):
      return multiply(FP8, p, a, b)

    exported = jax.export.export(
      jax.jit(f),
      platforms=("cpu", "cuda"),
      disabled_checks=dg.DISABLE_JAX_EXPORT_CHECKS,
    )(a, b)
    restored = jax.export.deserialize(exported.serialize())
    arrays = jax.tree.map(jnp.asarray, (a, b))
    np.testing.assert_array_equal(restored.call(*arrays), f(a, b))


def test_jit_traces_again_for_another_alignment_only():
  traces = []
  p = P["psum"]
  a, b = operands(p, 30, 300)

  @jax.jit
  def f(a, b, ends):
    traces.append(1)
    return dg.m_grouped_fp8_gemm_nt_contiguous(a, b, ends, use_psum_layout=True)

  for alignment in (16, 16, 128):
    with dg.options(mk_alignment=alignment):
      f(a, b, p.numbers)
      f(a, b, p.numbers + 1)
  assert len(traces) == 2


@pytest.mark.parametrize("layout", LAYOUTS)
def test_bf16_gradients_are_kernels_that_read_rows_where_they_lie(layout):
  p = P[layout]
  a, b = bf16_operands(p, 130, 300)

  def loss(a, b):
    return (multiply(BF16, p, a, b).astype(jnp.float32) ** 2).sum()

  text = lowered_for_cuda(jax.grad(loss, (0, 1)), a, b)
  kernels = collections.Counter(
    attribute(line, "kernel").strip('"') for line in launches(text)
  )
  assert kernels == {
    "sm90_m_grouped_bf16_gemm": 2,
    "sm90_k_grouped_bf16_gemm": 1,
  }
  # Rows with an id each may lie anywhere: they are brought together.
  assert ("stablehlo.sort" in text) == (layout == "index")
