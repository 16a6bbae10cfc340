"""The casts' kernels compile clean in every form that can be chosen."""

import concurrent.futures
import dataclasses
import itertools
import re

import jax.numpy as jnp
import pytest

from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.heuristics.sm90_cast import (
  CastSource,
  Sm90CastRowsConfig,
  Sm90CastTileConfig,
)
from jax_deepgemm.jit import JitSettings, headers
from jax_deepgemm.jit.compiler import compile_kernel
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import sm90_cast_rows, sm90_cast_tile
from jax_deepgemm.primitives.cast_form import KINDS, CastForm

_COMPLAINT = re.compile(r"C75\d\d|[1-9]\d* bytes (?:stack|spill)|Performance")
_SHAPES = ((4096, 7168), (4095, 7167), (1, 512))


def _recipes():
  forms = itertools.product(
    KINDS, (32, 128), (False, True), (False, True), _SHAPES
  )
  for kind, gran, flag, float32_in, shape in forms:
    dtype = jnp.dtype(jnp.float32 if float32_in else jnp.bfloat16)
    if kind == "rows":
      yield _recipe(CastForm(kind, gran, flag, flag), [shape], dtype)
      packed = flag and gran == 32
      form = CastForm(kind, gran, flag, fp4=True, packed=packed)
      yield _recipe(form, [shape], dtype)
    elif gran == 128 and not (kind == "live_values" and (flag or float32_in)):
      yield _recipe(CastForm(kind, use_ue8m0=flag), [shape], dtype)


def _fused_recipes():
  live = ("live_rows", "live_values")
  kinds = ("rows", "both", "grouped", "rows_grouped", *live)
  shapes_of_x = (*_SHAPES, (4096, 7167))
  forms = itertools.product(CastSource, kinds, (False, True), shapes_of_x)
  for source, kind, float32_in, (m, n) in forms:
    if kind in live and source is not CastSource.WEIGHTED_SWIGLU:
      continue  # The kernel of rows, in a loop.
    if kind == "live_values" and float32_in:
      continue  # It has none.
    if source is CastSource.SWIGLU_GRADIENT and n % 256:
      n = 1024  # Its halves are whole blocks.
    shapes = {
      CastSource.PLAIN: [(m, n)],
      CastSource.GATHER: [(m, n), (m,)],
      CastSource.SWIGLU: [(m, 2 * n)],
      CastSource.WEIGHTED_SWIGLU: [(m, 2 * n), (m,), ()],
      CastSource.SWIGLU_GRADIENT: [(m, n), (m, n // 2)],
      CastSource.RMS_NORM: [(m, n), (n,), (m,)],
    }[source]
    dtype = jnp.dtype(jnp.float32 if float32_in else jnp.bfloat16)
    for use_ue8m0 in {False, kind == "both"}:
      form = CastForm(
        kind, use_ue8m0=use_ue8m0, mn_major=kind == "rows", source=source
      )
      yield _recipe(form, shapes, dtype)
      if source is CastSource.WEIGHTED_SWIGLU:
        form = dataclasses.replace(form, fast_math=False)
        yield _recipe(form, shapes, dtype)


def _recipe(form, shapes, dtype):
  shapes = [*shapes, *[(4,)] * form.is_grouped]
  if form.kind in sm90_cast_rows.KINDS:
    call = sm90_cast_rows.kernel_call(shapes, dtype, form, Options(), H200)
  else:
    call = sm90_cast_tile.kernel_call(shapes, dtype, form, Options())
  return call.recipe


def test_no_form_spills(tmp_path):
  settings = JitSettings(cache_dir=str(tmp_path), ptxas_verbose=True)
  recipes = sorted({*_recipes(), *_fused_recipes()}, key=str)
  with concurrent.futures.ThreadPoolExecutor(2) as pool:
    logs = pool.map(lambda r: compile_kernel(r, settings).log, recipes)
  complaints = {
    r.source: _COMPLAINT.search(log).group(0)
    for r, log in zip(recipes, logs, strict=True)
    if _COMPLAINT.search(log)
  }
  assert not complaints


@pytest.mark.parametrize(
  ("path", "config"),
  [
    ("kernels/sm90_cast_rows.cuh", Sm90CastRowsConfig),
    ("kernels/sm90_cast_tile_types.cuh", Sm90CastTileConfig),
  ],
)
def test_python_and_cuda_name_the_same_fields(path, config):
  text = headers()[path]
  body = text.split(f"struct {config.__name__} {{")[1].split("}")[0]
  body = body.split("constexpr")[0]
  fields = re.findall(r"^\s*(?:int|bool|CastSource) (\w+);", body, re.MULTILINE)
  assert fields == [f.name for f in dataclasses.fields(config)]
