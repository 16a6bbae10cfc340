"""A layer of experts and its gradients in float64, quantised step by step."""

from typing import NamedTuple

import ml_dtypes
import numpy as np

from tests.moe.moe_oracle import of_blocks, of_columns, of_rows, silu


class Layer(NamedTuple):
  """Operands of all ranks: tokens of rank r are the r-th equal part."""

  x: np.ndarray
  topk_idx: np.ndarray
  topk_weights: np.ndarray
  l1: np.ndarray
  l2: np.ndarray


class Gradients(NamedTuple):
  """Of the operands that have some."""

  x: np.ndarray
  topk_weights: np.ndarray
  l1: np.ndarray
  l2: np.ndarray


def as_they_are(x):
  """Returns x in float64."""
  return np.asarray(x, float)


# What x, the same along columns, and weights are quantised with, for results
# and for gradients.
FP8 = (of_rows, of_columns, of_blocks, of_blocks)
FP4 = (of_rows, of_columns, as_they_are, of_blocks)  # Weights are FP4 already.
BF16 = (as_they_are,) * 4


def computed(layer, dy, casts=FP8, clamp=np.inf):
  """Returns the results, and the gradients for dy, with every cast in place.

  Args:
    layer: choices of no expert have ids outside of the experts'.
    dy: gradients of the results.
    casts: FP8, FP4 or BF16.
    clamp: bound of gate and up.
  """
  wide = Layer(*(np.asarray(a, float) for a in layer))
  y, dy = np.zeros(wide.x.shape), np.asarray(dy, float)
  gradients = Gradients(
    *(np.zeros(a.shape) for a in (wide.x, wide.topk_weights, *wide[3:]))
  )
  for expert, (l1, l2) in enumerate(zip(wide.l1, wide.l2, strict=True)):
    tokens, slots = np.nonzero(layer.topk_idx == expert)
    if not tokens.size:
      continue
    weights = wide.topk_weights[tokens, slots]
    rows = _expert(
      wide.x[tokens], weights, l1, l2, dy[tokens], casts=casts, clamp=clamp
    )
    y[tokens] += rows[0]
    gradients.x[tokens] += rows[1]
    gradients.topk_weights[tokens, slots] = rows[2]
    gradients.l1[expert], gradients.l2[expert] = rows[3:]
  return y, gradients


def _expert(x, weights, l1, l2, dy, *, casts, clamp):
  """Returns results of rows, and gradients of rows, weights, l1 and l2."""
  rows, columns, forward, backward = casts
  back1, back2 = backward(l1), backward(l2)
  l1, l2 = forward(l1), forward(l2)
  gate, up = np.split(_rounded(rows(x) @ l1.T), 2, axis=1)
  to_gate, to_up = gate <= clamp, np.abs(up) <= clamp
  gate, up = np.minimum(gate, clamp), np.clip(up, -clamp, clamp)
  activation = _rounded(silu(gate) * up * weights[:, None])
  out = _rounded(rows(activation) @ l2.T)

  da = _rounded(rows(dy) @ back2)
  dweights = (da * silu(gate) * up).sum(axis=1)
  da *= weights[:, None]
  s = 1 / (1 + np.exp(-gate))
  dgate = da * up * s * (1 + gate * (1 - s)) * to_gate
  dh = _rounded(np.concatenate([dgate, da * gate * s * to_up], axis=1))
  return (
    out,
    _rounded(rows(dh) @ back1),
    dweights,
    columns(dh).T @ columns(x),
    columns(dy).T @ columns(activation),
  )


def _rounded(x):
  return x.astype(np.float32).astype(ml_dtypes.bfloat16).astype(float)
