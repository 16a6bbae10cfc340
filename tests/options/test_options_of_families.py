"""Which options each family of kernels honours, in what it lowers to."""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import pytest

import jax_deepgemm as dg
from benchmarks import kernel_programs


@dataclasses.dataclass(frozen=True)
class Family:
  """A function, shapes of its arguments, and the kernel that it launches."""

  function: Callable[..., Any]
  operands: tuple[Any, ...]
  kernel: str
  is_gemm: bool = True


def array(*shape, dtype=jnp.bfloat16):
  return jax.ShapeDtypeStruct(shape, dtype)


def pair(*shape, blocks):
  scales = (*blocks, -(-shape[-1] // 128))
  values = array(*shape, dtype=jnp.float8_e4m3fn)
  return dg.ScaledArray(values, array(*scales, dtype=jnp.float32))


def psum(*operands):
  return dg.m_grouped_fp8_gemm_nt_contiguous(*operands, use_psum_layout=True)


_WEIGHTS = pair(4, 2048, 1024, blocks=(4, 16))
_ROWS = pair(4096, 1024, blocks=(4096,))
_SIZES = array(4, dtype=jnp.int32)
_M_GROUPED = "sm90_m_grouped_fp8_gemm"
_DENSE = {
  "fp8": Family(
    dg.fp8_gemm_nt,
    (_ROWS, pair(2112, 1024, blocks=(17,))),
    "sm90_fp8_gemm",
  ),
  "fp8, few rows": Family(
    dg.fp8_gemm_nt,
    (pair(16, 7168, blocks=(16,)), pair(2048, 7168, blocks=(16,))),
    "sm90_fp8_gemm_swapped",
  ),
  "fp8, few tiles": Family(
    dg.fp8_gemm_nt,
    (pair(192, 7168, blocks=(192,)), pair(576, 7168, blocks=(5,))),
    "sm90_fp8_gemm_split",
  ),
  "bf16, few rows": Family(
    dg.bf16_gemm_nt,
    (array(100, 7168), array(576, 7168)),
    "sm90_bf16_gemm_swapped",
  ),
  "bf16": Family(
    dg.bf16_gemm_nt, (array(4096, 1024), array(2112, 1024)), "sm90_bf16_gemm"
  ),
  "bf16 tn": Family(
    dg.bf16_gemm_tn, (array(1024, 4096), array(1024, 2048)), "sm90_bf16_gemm"
  ),
  "einsum": Family(
    functools.partial(dg.einsum, "bhr,hdr->bhd"),
    (array(4096, 8, 512), array(8, 256, 512)),
    "sm90_bf16_gemm",
  ),
  "einsum of a long k": Family(
    functools.partial(dg.einsum, "bmk,bnk->mn"),
    (array(4096, 200, 128), array(4096, 256, 128)),
    "sm90_batched_k_bf16_gemm",
  ),
  "head gaps": Family(
    lambda a, b: dg.fp8_gemm_nt_skip_head_mid(a, b, (128, 64, 128)),
    (_ROWS, pair(2048, 1024, blocks=(16,))),
    "sm90_fp8_gemm",
  ),
}
_GROUPED = {
  "m-grouped index": Family(
    dg.m_grouped_fp8_gemm_nt_contiguous,
    (_ROWS, _WEIGHTS, array(4096, dtype=jnp.int32)),
    _M_GROUPED,
  ),
  "m-grouped psum": Family(psum, (_ROWS, _WEIGHTS, _SIZES), _M_GROUPED),
  "m-grouped ragged": Family(
    dg.m_grouped_fp8_gemm_nt_ragged, (_ROWS, _WEIGHTS, _SIZES), _M_GROUPED
  ),
  "m-grouped masked": Family(
    dg.m_grouped_fp8_gemm_nt_masked,
    (pair(4, 1024, 1024, blocks=(4, 1024)), _WEIGHTS, _SIZES),
    _M_GROUPED,
  ),
  "k-grouped": Family(
    dg.k_grouped_fp8_gemm_tn_contiguous,
    (array(2048, 1024), array(2048, 2048), _SIZES),
    "sm90_k_grouped_fp8_gemm",
  ),
  "k-grouped bf16": Family(
    dg.k_grouped_bf16_gemm_tn_contiguous,
    (array(2048, 1024), array(2048, 2048), _SIZES),
    "sm90_k_grouped_bf16_gemm",
  ),
}
_CASTS = {
  "cast of rows": Family(
    dg.per_token_cast_to_fp8, (array(4096, 1024),), "sm90_cast_rows", False
  ),
  "cast of blocks": Family(
    dg.per_block_cast_to_fp8, (array(4096, 1024),), "sm90_cast_tile", False
  ),
  "cast of groups": Family(
    dg.k_grouped_cast_to_fp8,
    (array(4096, 1024), _SIZES),
    "sm90_cast_tile",
    False,
  ),
}
_GEMMS = {**_DENSE, **_GROUPED}
_ALL = {**_GEMMS, **_CASTS}
by_gemm = pytest.mark.parametrize("family", _GEMMS.values(), ids=_GEMMS)
by_family = pytest.mark.parametrize("family", _ALL.values(), ids=_ALL)


def lower(family):
  jitted = jax.jit(lambda *x: family.function(*x))
  return kernel_programs.lowered_for(
    jitted, *family.operands, device="NVIDIA H200"
  )


def launch(family):
  """Returns the launch of the family's own kernel."""
  found = kernel_programs.launches(lower(family))
  (own,) = [each for each in found if each["kernel"] == family.kernel]
  return own


@by_gemm
@pytest.mark.parametrize("num_sms", [1, 7, 64])
def test_gemms_take_no_more_multiprocessors_than_they_may(family, num_sms):
  whole = launch(family)
  assert math.prod(whole["grid"]) > 1
  with dg.options(num_sms=num_sms):
    found = kernel_programs.launches(lower(family))
  gemms = [each for each in found if "cast" not in each["kernel"]]
  assert len(gemms) == 1
  assert 1 <= math.prod(gemms[0]["grid"]) <= num_sms
  assert math.prod(gemms[0]["grid"]) % math.prod(gemms[0]["cluster"]) == 0


@pytest.mark.parametrize("family", _CASTS.values(), ids=_CASTS)
def test_casts_take_all_multiprocessors(family):
  whole = launch(family)
  with dg.options(num_sms=7, block_size_multiple_of=1024):
    assert launch(family) == whole


@by_family
def test_every_kernel_is_launched_early_if_asked_for(family):
  plain = kernel_programs.launches(lower(family))
  assert not any(each["pdl"] for each in plain)
  with dg.options(pdl=True):
    found = kernel_programs.launches(lower(family))
  assert family.kernel in [each["kernel"] for each in found]
  assert all(each["pdl"] for each in found)


def block_sizes(found):
  config = kernel_programs.config_of(found)
  warpgroups = config["num_math_warpgroups"]
  if "block_m" in config:  # Swapped operands.
    return config["block_m"], warpgroups * 64
  if found["kernel"] == "sm90_fp8_gemm_split":
    return warpgroups * 64, config["block_n"]
  return warpgroups * config["num_slabs"] * 64, config["block_n"]


@by_gemm
@pytest.mark.parametrize("multiple", [(128, 1), (1, 64), (64, 32), (192, 1)])
def test_tiles_of_gemms_are_multiples_of_what_was_asked(family, multiple):
  with dg.options(block_size_multiple_of=multiple):
    found = kernel_programs.launches(lower(family))
  (gemm,) = [each for each in found if "cast" not in each["kernel"]]
  block_m, block_n = block_sizes(gemm)
  assert (block_m % multiple[0], block_n % multiple[1]) == (0, 0)


@by_gemm
def test_a_multiple_that_no_tile_has_is_an_error(family):
  with (
    dg.options(block_size_multiple_of=(7, 1)),
    pytest.raises(ValueError, match="block sizes that are multiples of"),
  ):
    lower(family)


@by_family
@pytest.mark.parametrize(
  "change", [{"ignore_compile_dims": True}, {"tc_util": 50}]
)
def test_what_has_no_effect_on_hopper_has_none(family, change):
  plain = lower(family).as_text()
  with dg.options(**change):
    assert lower(family).as_text() == plain


@by_family
def test_sizes_are_no_part_of_a_kernel(family):
  source = launch(family)["source"]
  sizes = {n for x in jax.tree.leaves(family.operands) for n in x.shape}
  words = set(source.replace(",", " ").replace("}", " ").split())
  assert not words & {str(size) for size in sizes if size > 1000}
