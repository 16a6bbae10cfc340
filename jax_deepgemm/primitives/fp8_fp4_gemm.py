"""The GEMM of fp8 activations and FP4 weights as a primitive."""

from typing import Any

import jax
import jax.numpy as jnp

from jax_deepgemm.options import Options
from jax_deepgemm.primitives.fp8_fp4_gemm_lowering import LOWERING
from jax_deepgemm.primitives.gemm_form import GemmForm
from jax_deepgemm.primitives.scaled_gemm import make_primitives

# One int32 holds the scales of 4 x 32 columns, as one float32 of a does of 128.
FORM = GemmForm(
  arrays=2, recipe_a=(1, 128), recipe_b=(1, 128), b_codes_per_element=2
)


def fp8_fp4_gemm(
  a: jax.Array,
  sfa: jax.Array,
  b: jax.Array,
  sfb: jax.Array,
  c: jax.Array | None = None,
  *,
  out_dtype: jax.typing.DTypeLike,
  options: Options,
) -> jax.Array:
  """Returns c + sum_k (a * sfa)[g, m, k] * (b * sfb)[g, n, k].

  The group dimension may be absent, from all operands alike. a tells k: if it
  is odd, the last high nibbles of b belong to no column. A scale byte e of sfb
  stands for 2**(e - 127), 0 for 0.0 and 255 for NaN; bytes of columns past k,
  which fill up the last int32, may be anything and have no effect.

  Args:
    a: `[g, m, k]` float8_e4m3fn.
    sfa: `[g, m, ceil(k / 128)]` float32.
    b: `[g, n, ceil(k / 2)]` int8, two e2m1 codes each, the even column in the
      low nibble.
    sfb: `[g, n, ceil(k / 128)]` int32, UE8M0 scales of four times 32 columns
      each, the first in the lowest byte.
    c: `[g, m, n]` in `out_dtype`, or None for zero.
    out_dtype: bfloat16 or float32.
    options: in force when the public function was called.

  Returns:
    `[g, m, n]` in `out_dtype`; any size may be zero.
  """
  return _bind(
    (a, sfa, b, sfb) if c is None else (a, sfa, b, sfb, c),
    out_dtype=jnp.dtype(out_dtype),
    options=options,
  )


def _form_of(**params: Any) -> GemmForm:
  del params
  return FORM


# Operands are exchanged for FP4 on the other side, so none is a or b for sure.
_bind = make_primitives(
  LOWERING, _form_of, names=("the fp8 operand", "the FP4 operand")
)
