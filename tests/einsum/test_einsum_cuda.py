"""What einsums launch on a Hopper GPU, read without one."""

import jax
import jax.numpy as jnp
import pytest

import jax_deepgemm as jd
from benchmarks import kernel_programs
from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import launch
from jax_deepgemm.primitives.bf16_gemm_lowering import LOWERING as BF16
from jax_deepgemm.primitives.fp8_gemm_lowering import LOWERING as FP8
from tests.einsum.einsum_oracle import letters_of

SIZES = {"h": 8, "r": 4096, "d": 1024, "m": 128, "n": 384, "k": 128}
BATCHED = ("bhr,hdr->bhd", "bhd,hdr->bhr")


def plain(expr, b):
  sizes = SIZES | {"b": b}
  return [
    jax.ShapeDtypeStruct([sizes[x] for x in letters], jnp.bfloat16)
    for letters in letters_of(expr)[:2]
  ]


def scaled(expr, b, grans):
  pairs = []
  for array, letters, gran in zip(
    plain(expr, b), letters_of(expr), grans, strict=False
  ):
    blocks = [
      -(-size // gran.get(x, 1))
      for x, size in zip(letters, array.shape, strict=True)
    ]
    values = jax.ShapeDtypeStruct(array.shape, jnp.float8_e4m3fn)
    pairs.append((values, jax.ShapeDtypeStruct(blocks, jnp.float32)))
  return pairs


def lowered(f, *operands):
  jitted = jax.jit(f)
  return kernel_programs.lowered_for(jitted, *operands, device="NVIDIA H200")


def launches(f, *operands):
  return kernel_programs.launches(lowered(f, *operands))


def maps(found):
  return [x for x in found["params"].values() if x["kind"] == "tensor_map"]


@pytest.mark.parametrize("b", [4, 700])
@pytest.mark.parametrize("expr", BATCHED)
def test_heads_are_groups_where_they_lie(expr, b):
  (found,) = launches(lambda x, y: jd.einsum(expr, x, y), *plain(expr, b))
  assert found["kernel"] == f"sm90_bf16_gemm{'_swapped' * (b == 4)}"
  contracted, rest = (
    (SIZES["r"], SIZES["d"])
    if expr == "bhr,hdr->bhd"
    else (SIZES["d"], SIZES["r"])
  )
  a_row, *_, a_head = maps(found)[0]["strides"]
  assert (a_row, a_head) == (2 * 8 * contracted, 2 * contracted)
  if b == 4:
    # Lines of D from head to head, and from row to row.
    *_, head, row = found["params"].values()
    assert (head["value"], row["value"]) == (1, 8)
  else:
    assert maps(found)[-1]["strides"] == [2 * 8 * rest, 2 * rest]


def test_a_long_k_is_read_as_it_lies_and_cut_in_parts():
  expr = "bmk,bnk->mn"
  found = lowered(lambda x, y: jd.einsum(expr, x, y), *plain(expr, 4096))
  (launched,) = kernel_programs.launches(found)
  assert launched["kernel"] == "sm90_batched_k_bf16_gemm"
  a, b, d = maps(launched)
  assert (a["dims"][0], a["dims"][1], a["dims"][-1]) in (
    (128, 128, 4096),
    (64, 128, 4096),
  )
  assert a["strides"][-1] == 2 * 128 * 128
  assert b["strides"][-1] == 2 * 384 * 128
  assert d["dims"][-1] > 16
  assert launched["grid"][0] > 100


def test_without_parts_the_kernel_makes_the_result():
  def f(x, y):
    return jd.einsum("bmk,bnk->mn", x, y)

  with jd.options(batch_invariant=True):
    (found,) = launches(f, *plain("bmk,bnk->mn", 100))
  assert maps(found)[-1]["dtype"] == "bf16"


@pytest.mark.parametrize("expr", [*BATCHED, "bhd,bhr->hdr"])
def test_quantised_heads_are_one_launch(expr):
  summed = set.intersection(*map(set, letters_of(expr)[:2])) - {"h"}
  (k,) = summed
  is_weight = expr != "bhd,bhr->hdr"
  grans = ({k: 128}, {k: 128} | dict.fromkeys("dr" * is_weight, 128))
  recipe = (1, 128, 128) if is_weight else (1, 1, 128)
  *copies, found = launches(
    lambda x, y: jd.fp8_einsum(expr, x, y, recipe=recipe),
    *scaled(expr, 700, grans),
  )
  # TMA cannot load rows of 700 bytes.
  assert [copy["kernel"] for copy in copies] == (
    [] if is_weight else ["sm90_pad_rows"]
  )
  assert found["kernel"] == "sm90_fp8_gemm"
  d = maps(found)[-2]
  columns = d["dims"][0]
  if is_weight:
    assert d["strides"] == [2 * 8 * columns, 2 * columns]
  else:
    assert d["strides"] == [2 * columns, 2 * columns * SIZES["d"]]


def compiled_around_the_launch(monkeypatch, lowering, f, operands):
  """Returns what XLA makes of all but the kernel, on the CPU."""

  def stand_in(calls, operands, results, aliases=None):
    del calls, aliases
    return jax.pure_callback(lambda *x: x, list(results), *operands)

  def kernel(*arrays, **params):
    params.pop("options")
    as_groups = [x if x.ndim == 3 else x[None] for x in arrays]
    d = lowering.kernel(*as_groups, options=Options(), device=H200, **params)
    return d if arrays[0].ndim == 3 else d[0]

  monkeypatch.setattr(launch, "call", stand_in)
  monkeypatch.setattr(
    lowering.__class__,
    "_lower_reference",
    lambda self, ctx, *operands, **params: jax.interpreters.mlir.lower_fun(
      lambda *x: kernel(*x, options=None, **params), multiple_results=False
    )(ctx, *operands),
  )
  return jax.jit(f).lower(*operands).compile().as_text()


@pytest.mark.parametrize("expr", [*BATCHED, "bmk,bnk->mn"])
def test_nothing_is_copied(monkeypatch, expr):
  text = compiled_around_the_launch(
    monkeypatch, BF16, lambda x, y: jd.einsum(expr, x, y), plain(expr, 700)
  )
  assert " transpose(" not in text
  assert " copy(" not in text


def test_gradients_of_heads_copy_nothing(monkeypatch):
  for expr in BATCHED:
    dy = plain(f"{expr.split('->')[1]},hdr->", 700)[0]
    text = compiled_around_the_launch(
      monkeypatch,
      BF16,
      lambda x, y, dy, expr=expr: jax.vjp(
        lambda x, y: jd.einsum(expr, x, y), x, y
      )[1](dy),
      [*plain(expr, 700), dy],
    )
    assert " transpose(" not in text
    assert " copy(" not in text


def test_plain_rows_are_cast_where_they_lie():
  expr = "bhr,hdr->bhd"
  for b in (700, 701):  # Scales are written MN-major if b is a multiple of 4.
    x, y = plain(expr, b)
    text = str(jax.make_jaxpr(lambda *x: jd.fp8_einsum(expr, *x))(x, y))
    assert f"f8_e4m3fn[{b},8,4096]" in text
    assert f"bf16[8,{b},4096]" not in text


def test_values_of_quantised_heads_are_not_copied(monkeypatch):
  expr = "bhr,hdr->bhd"
  text = compiled_around_the_launch(
    monkeypatch,
    FP8,
    lambda x, y: jd.fp8_einsum(expr, x, y),
    scaled(expr, 700, ({"r": 128}, {"d": 128, "r": 128})),
  )
  transposed = [line for line in text.splitlines() if " transpose(" in line]
  assert not any("f8e4m3fn" in line or "bf16" in line for line in transposed)
  assert "f8e4m3fn" in text
