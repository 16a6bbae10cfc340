"""Layouts in which kernels read scale factors.

JAX arrays have no strides, so "MN-major, 16-byte pitch" is written as the
logical row-major array that has these bytes: scales `[..., mn, b]` become
`[..., b, align(mn, 4)]`. The transpose is stored, not viewed; its columns past
mn are zero. Inputs are always the natural `[..., mn, b]`: an array that was
transformed before cannot be told from one (mn = b = 4), and a second call on it
is refused only where the shapes differ.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from jax_deepgemm.alignment import align, ceil_div, get_tma_aligned_size
from jax_deepgemm.array_checks import (
  check_dtype,
  check_positive,
  check_rank_at_least,
  check_shape,
)
from jax_deepgemm.ue8m0 import pack_ue8m0_to_int


def get_mn_major_tma_aligned_tensor(sf: jax.Array) -> jax.Array:
  """Returns y[..., b, i] = sf[..., i, b], zero for i >= mn.

  Args:
    sf: `[..., mn, b]` float32.

  Returns:
    `[..., b, align(mn, 4)]` float32.

  Raises:
    TypeError: sf is not float32.
    ValueError: sf has rank < 2.
  """
  check_dtype("sf", sf, jnp.float32)
  check_rank_at_least("sf", sf, 2)
  return _mn_major(sf)


def get_mn_major_tma_aligned_packed_ue8m0_tensor(
  sf: jax.Array,
  psum_layout: jax.Array | None = None,
  *,
  mk_alignment: int = 128,
) -> jax.Array:
  """Returns the exponents of sf, four blocks to an int32, transposed.

  Byte j of y[..., b, i] is the exponent of sf[..., i, 4 b + j]; bytes without a
  scale are 0. What is no power of two becomes byte 255 (`pack_ue8m0_to_int`).

  Args:
    sf: `[..., mn, b]` float32 powers of two.
    psum_layout: `[g]` integers, the end of every group of rows, each group
      starting at a multiple of mk_alignment. Rows outside all groups become 0
      whatever they hold. Only with sf of rank 2.
    mk_alignment: the alignment of the groups.

  Returns:
    `[..., ceil(b / 4), align(mn, 4)]` int32.

  Raises:
    TypeError: sf is not float32, or psum_layout not an integer array.
    ValueError: a rank is wrong.
  """
  check_dtype("sf", sf, jnp.float32)
  check_rank_at_least("sf", sf, 2)
  if psum_layout is not None:
    sf = _without_gap_rows(sf, psum_layout, mk_alignment)
  blocks = sf.shape[-1]
  padding = [(0, 0)] * (sf.ndim - 1) + [(0, align(blocks, 4) - blocks)]
  return _mn_major(pack_ue8m0_to_int(jnp.pad(sf, padding)))


def transform_sf_into_required_layout(
  sf: jax.Array,
  mn: int,
  k: int,
  recipe: Sequence[int],
  num_groups: int | None = None,
  is_sfa: bool | None = None,
  disable_ue8m0_cast: bool = False,
  psum_layout: jax.Array | None = None,
  *,
  arch_major: int = 9,
  mk_alignment: int = 128,
) -> jax.Array:
  """Returns sf as the kernels of an architecture read it.

  | sf | granularity | arch_major | result |
  |---|---|---|---|
  | float32 | 1 x gran_k | 9, or disable_ue8m0_cast | MN-major float32 |
  | float32 | 128 x gran_k | 9, or disable_ue8m0_cast | sf |
  | float32 | both | 10 | a row per mn, MN-major packed UE8M0 |
  | int32 | 1 x gran_k | both | MN-major packed UE8M0 |

  Args:
    sf: `[(g,) ceil(mn / gran_mn), ceil(k / gran_k)]` float32, or
      `[(g,) mn, ceil(k / (4 gran_k))]` int32 as the casts pack it.
    mn: rows of the operand.
    k: columns of the operand.
    recipe: (gran_m, gran_n, gran_k) with is_sfa, or (gran_mn, gran_k).
      gran_mn is 1 or 128, gran_k 32 or 128.
    num_groups: g, or None for sf of rank 2.
    is_sfa: whether gran_m (True) or gran_n (False) of three applies.
    disable_ue8m0_cast: keep float32 scales on arch_major 10.
    psum_layout: as in `get_mn_major_tma_aligned_packed_ue8m0_tensor`, for every
      MN-major result. Only without num_groups.
    arch_major: 9 (Hopper) or 10 (Blackwell).
    mk_alignment: the alignment of psum_layout's groups.

  Returns:
    MN-major float32 `[(g,) ceil(k / gran_k), align(mn, 4)]`; packed
    `[(g,) ceil(k / (4 gran_k)), align(mn, 4)]` int32; or sf itself.

  Raises:
    TypeError: sf has another dtype.
    ValueError: recipe, is_sfa, arch_major or a shape does not fit.
  """
  gran_mn, gran_k = _granularity(recipe, is_sfa)
  check_dtype("sf", sf, jnp.float32, jnp.int32)
  if arch_major not in (9, 10):
    raise ValueError(f"arch_major: expected 9 or 10, got {arch_major!r}")
  is_packed = sf.dtype == jnp.int32
  if is_packed and gran_mn != 1:
    raise ValueError(
      f"sf: expected float32 for the granularity {(gran_mn, gran_k)} (packed "
      f"UE8M0 scales are one per row), got int32"
    )
  columns = ceil_div(k, gran_k * (4 if is_packed else 1))
  groups = () if num_groups is None else (num_groups,)
  check_shape("sf", sf, (*groups, ceil_div(mn, gran_mn), columns))

  packs = arch_major == 10 and not disable_ue8m0_cast and not is_packed
  if gran_mn != 1:
    if not packs:
      return sf
    sf = jnp.repeat(sf, gran_mn, axis=-2)[..., :mn, :]
  if packs:
    return get_mn_major_tma_aligned_packed_ue8m0_tensor(
      sf, psum_layout, mk_alignment=mk_alignment
    )
  if psum_layout is not None:
    sf = _without_gap_rows(sf, psum_layout, mk_alignment)
  return _mn_major(sf)


def _granularity(recipe: Sequence[int], is_sfa: bool | None) -> tuple[int, int]:
  """Returns (gran_mn, gran_k) of a recipe of two or three numbers."""
  recipe = tuple(recipe)
  if len(recipe) not in (2, 3):
    raise ValueError(
      "recipe: expected (gran_mn, gran_k) or (gran_m, gran_n, gran_k), got "
      f"{recipe}"
    )
  if (is_sfa is None) != (len(recipe) == 2):
    raise ValueError(
      "is_sfa: expected True or False with a recipe of three, None with a "
      f"recipe of two, got {is_sfa} with {recipe}"
    )
  if len(recipe) == 3:
    recipe = (recipe[0 if is_sfa else 1], recipe[2])
  if recipe[0] not in (1, 128) or recipe[1] not in (32, 128):
    raise ValueError(
      "recipe: expected gran_mn of 1 or 128 and gran_k of 32 or 128, got "
      f"gran_mn={recipe[0]}, gran_k={recipe[1]}"
    )
  return recipe


@jax.jit
def _mn_major(sf: jax.Array) -> jax.Array:
  mn = sf.shape[-2]
  pitch = get_tma_aligned_size(mn, sf.dtype.itemsize)
  padding = [(0, 0)] * (sf.ndim - 1) + [(0, pitch - mn)]
  return jnp.pad(jnp.swapaxes(sf, -1, -2), padding)


def _without_gap_rows(
  sf: jax.Array, psum_layout: jax.Array, mk_alignment: int
) -> jax.Array:
  """Returns sf with zeros in the rows that belong to no group."""
  check_positive("mk_alignment", mk_alignment)
  check_dtype("psum_layout", psum_layout, jnp.int32, jnp.int64)
  if sf.ndim != 2 or psum_layout.ndim != 1:
    raise ValueError(
      "psum_layout: expected shape (g,) with sf of rank 2, got "
      f"{psum_layout.shape} with sf of shape {sf.shape}"
    )
  ends = jnp.asarray(psum_layout)
  starts = align(jnp.pad(ends, (1, 0))[:-1], mk_alignment)
  rows = jnp.arange(sf.shape[0], dtype=ends.dtype)[:, None]
  is_live = jnp.any((starts <= rows) & (rows < ends), axis=1)
  return jnp.where(is_live[:, None], sf, jnp.zeros_like(sf))
