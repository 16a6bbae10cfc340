"""What the casts' kernels on Hopper have in common about their sources."""

from collections.abc import Sequence

from jax.core import ShapedArray

from jax_deepgemm.heuristics.sm90_cast import STRIP, CastSource
from jax_deepgemm.primitives import launch
from jax_deepgemm.primitives.cast_form import CastForm

# Weights are cast per block, and nothing produces them.
_KINDS = (
  "rows",
  "transposed",
  "both",
  "grouped",
  "rows_grouped",
  "live_rows",
  "live_values",
)


def num_outputs(source: CastSource) -> int:
  """Returns how many parts of the columns are made at once."""
  return 2 if source is CastSource.SWIGLU_GRADIENT else 1


def missing(form: CastForm, *operands: ShapedArray) -> str | None:
  """Returns what there is no kernel for, or None."""
  if form.source is CastSource.PLAIN:
    return None
  what = f"what {form.source.value} makes"
  if form.kind not in _KINDS:
    return f"{what} to {form.kind}, only to {', '.join(_KINDS)}"
  if form.gran != STRIP or form.fp4:
    return f"{what} to FP4 or in blocks of {form.gran}, only to FP8 and of 128"
  half = operands[0].shape[-1] // 2
  if num_outputs(form.source) == 2 and half % STRIP:
    return f"gradients to halves of {half} columns, only multiples of {STRIP}"
  return None


def params(
  source: CastSource, shapes: Sequence[tuple[int, ...]]
) -> tuple[launch.Buffer | launch.Scalar, ...]:
  """Returns second, row_factors and num_source_rows of `CastSourceParams`.

  A kernel gets buffer 0 for what its source does not have, and never uses it.
  """
  second = 1 if len(shapes) > 1 else 0
  rstd = 2 if source is CastSource.RMS_NORM else 0
  if source is CastSource.WEIGHTED_SWIGLU:
    second, rstd = 2, 1  # What all rows share, and what each has.
  rows = shapes[0][-2] if source is CastSource.GATHER else 0
  return (launch.Buffer(second), launch.Buffer(rstd), launch.Scalar(rows))
