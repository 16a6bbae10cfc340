"""MaxText's grouped GEMM in FP8, with its arguments."""

from typing import Any

import jax
import jax.numpy as jnp

from jax_deepgemm.ragged_dot import fp8_ragged_dot

# Arguments that ask for what is not done here, and what to do instead.
_WAYS_OUT = {
  "existing_out": "add it to the result",
  "partial_sum": "add it to the result",
  "weight_gather_axes": "gather rhs before the call, by jax.lax.all_gather",
  "qwix_rule": "the recipe is that of fp8_ragged_dot, without a rule",
  "use_qwix_quantization": "set use_qwix_quantization to False",
  "use_manual_quantization": "pass operands that are not quantised",
  "use_tokamax_backend": "set use_tokamax_gmm to False",
  "use_gmm_v2": "set use_gmm_v2 to False",
}


def gmm(
  lhs: jax.Array,
  rhs: jax.Array,
  group_sizes: jax.Array,
  preferred_element_type: jax.typing.DTypeLike = jnp.float32,
  tiling: Any = None,
  group_offset: Any = None,
  existing_out: Any = None,
  transpose_rhs: bool = False,
  interpret: bool | None = None,
  lhs_quantize_dtype: Any = None,
  rhs_quantize_dtype: Any = None,
  use_qwix_quantization: bool = False,
  use_tokamax_backend: bool = False,
  weight_gather_axes: Any = None,
  lhs_vma_axes: Any = (),
  rhs_vma_axes: Any = (),
  qwix_rule: Any = None,
  use_manual_quantization: bool = False,
  use_gmm_v2: bool = False,
  use_gmm_v2_heuristic_tiling: bool = False,
  partial_sum: Any = None,
  *,
  residuals: str = "fp8",
) -> jax.Array:
  """Returns lhs[i] @ rhs[group of i], as MaxText's `megablox.gmm`, in FP8.

  `fp8_ragged_dot` under the names and in the order of MaxText's arguments, with
  its gradients. Rows that belong to no group are zero.

  Without effect, because they change how and not what is computed: tiling,
  interpret, lhs_vma_axes, rhs_vma_axes and use_gmm_v2_heuristic_tiling.

  Args:
    lhs: `[m, k]` bfloat16, float16 or float32.
    rhs: `[g, k, n]`, or with transpose_rhs `[g, n, k]`, which is transposed.
    group_sizes: `[g]` integers; with group_offset `[groups]` of all devices,
      lhs having the rows of all of them.
    preferred_element_type: dtype of the result.
    tiling: without effect.
    group_offset: the first group that rhs has, an integer or an array of one;
      rows of other groups are zero in the result.
    existing_out: None.
    transpose_rhs: see rhs.
    interpret: without effect.
    lhs_quantize_dtype: None or float8_e4m3fn.
    rhs_quantize_dtype: likewise.
    use_qwix_quantization: False.
    use_tokamax_backend: False.
    weight_gather_axes: None or empty.
    lhs_vma_axes: without effect.
    rhs_vma_axes: without effect.
    qwix_rule: None.
    use_manual_quantization: False.
    use_gmm_v2: False.
    use_gmm_v2_heuristic_tiling: without effect.
    partial_sum: None.
    residuals: as in `fp8_ragged_dot`.

  Returns:
    `[m, n]`.

  Raises:
    TypeError: the dtype of an argument is wrong, or an operand is a QArray.
    ValueError: shapes do not match.
    NotImplementedError: an argument asks for what is not done; the message says
      what to do instead.
  """
  del tiling, interpret, lhs_vma_axes, rhs_vma_axes
  del use_gmm_v2_heuristic_tiling
  _refuse(
    existing_out=existing_out,
    partial_sum=partial_sum,
    weight_gather_axes=weight_gather_axes or None,
    qwix_rule=qwix_rule,
    use_qwix_quantization=use_qwix_quantization or None,
    use_manual_quantization=use_manual_quantization or None,
    use_tokamax_backend=use_tokamax_backend or None,
    use_gmm_v2=use_gmm_v2 or None,
  )
  _check_quantize_dtype("lhs_quantize_dtype", lhs_quantize_dtype)
  _check_quantize_dtype("rhs_quantize_dtype", rhs_quantize_dtype)
  if transpose_rhs:
    rhs = jnp.swapaxes(rhs, 1, 2)
  if group_offset is None or (
    isinstance(group_offset, int)
    and group_offset == 0
    and group_sizes.shape[:1] == rhs.shape[:1]
  ):
    return fp8_ragged_dot(
      lhs, rhs, group_sizes, None, preferred_element_type, residuals=residuals
    )
  shift, sizes = _own_groups(group_sizes, group_offset, rhs.shape[0])
  y = fp8_ragged_dot(
    jnp.roll(lhs, -shift, axis=0),
    rhs,
    sizes,
    None,
    preferred_element_type,
    residuals=residuals,
  )
  return jnp.roll(y, shift, axis=0)


def _own_groups(
  group_sizes: jax.Array, group_offset: Any, num_groups: int
) -> tuple[jax.Array, jax.Array]:
  """Returns the row where this device's groups begin, and their sizes."""
  groups = group_sizes.shape[0]
  if groups < num_groups:
    raise ValueError(
      f"group_sizes must have at least the {num_groups} groups of rhs, got"
      f" {groups}"
    )
  sizes = group_sizes.astype(jnp.int32)
  offset = jnp.asarray(group_offset, jnp.int32).reshape(())
  offset = jnp.clip(offset, 0, groups - num_groups)
  is_before = jnp.arange(groups, dtype=jnp.int32) < offset
  shift = jnp.sum(jnp.where(is_before, sizes, 0), dtype=jnp.int32)
  own = jax.lax.dynamic_slice_in_dim(sizes, offset, num_groups)
  return shift, own


def _refuse(**given: Any) -> None:
  for name, value in given.items():
    if value is not None:
      raise NotImplementedError(
        f"{name} is not supported by this gmm: {_WAYS_OUT[name]}"
      )


def _check_quantize_dtype(name: str, dtype: Any) -> None:
  if dtype is not None and jnp.dtype(dtype) != jnp.float8_e4m3fn:
    raise NotImplementedError(
      f"{name} must be None or float8_e4m3fn, got {jnp.dtype(dtype).name}: take"
      " MaxText's own gmm for it"
    )
