"""The layer of experts and its gradients in float64, quantised step by step."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jax_deepgemm as dg
from tests.primitives.gemm_oracle import dequantized

_ROW, _SQUARE = (1, 128), (128, 128)


class Layer(NamedTuple):
  """Operands of `moe_mlp`, as numpy arrays."""

  x: np.ndarray
  w_gate: np.ndarray
  w_up: np.ndarray
  w_down: np.ndarray
  sizes: np.ndarray


def layer(sizes, d, f, n, spare=0, dtype=jnp.float32, seed=0):
  """Returns random operands; rows of no group are NaN."""
  rng = np.random.default_rng(seed)
  sizes = np.asarray(sizes, np.int32)
  rows, groups = sizes.sum() + spare, len(sizes)

  def weight(k, n):
    return (rng.normal(size=(groups, k, n)) / np.sqrt(k)).astype(dtype)

  x = rng.normal(size=(rows, d)).astype(dtype)
  x[rows - spare :] = np.nan
  return Layer(x, weight(d, f), weight(d, f), weight(f, n), sizes)


def of_rows(x):
  """Returns what x, quantised 1 x 128, stands for."""
  return _value(x, _ROW, dg.per_token_cast_to_fp8)


def of_columns(x):
  """Returns the same with scales 128 x 1."""
  return of_rows(np.ascontiguousarray(np.asarray(x).T)).T


def of_blocks(x):
  """Returns the same with scales 128 x 128."""
  return _value(x, _SQUARE, dg.per_block_cast_to_fp8)


def _value(x, gran, cast):
  quantized = cast(jnp.asarray(x, jnp.float32))
  return dequantized(jax.tree.map(np.asarray, quantized), gran)


def silu(x):
  """Returns x / (1 + exp(-x))."""
  return x / (1 + np.exp(-x))


class Gradients(NamedTuple):
  """Of the operands."""

  x: np.ndarray
  w_gate: np.ndarray
  w_up: np.ndarray
  w_down: np.ndarray


def quantized_layer(operands, dy):
  """Returns the result, and the gradients for dy, with every cast in place."""
  x, w_gate, w_up, w_down, sizes = (np.asarray(a, float) for a in operands)
  y = np.zeros((len(x), w_down.shape[2]))
  gradients = Gradients(*(np.zeros(a.shape) for a in (x, w_gate, w_up, w_down)))
  first = 0
  for g, size in enumerate(sizes.astype(int)):
    rows = slice(first, first + size)
    first += size
    if not size:
      continue
    expert = (w_gate[g], w_up[g], w_down[g])
    y[rows], of_expert = _expert(x[rows], *expert, np.asarray(dy[rows], float))
    gradients.x[rows] = of_expert.x
    for whole, part in zip(gradients[1:], of_expert[1:], strict=True):
      whole[g] = part
  return y, gradients


def _expert(x, w_gate, w_up, w_down, dy):
  gate_up = of_blocks(np.concatenate([w_gate, w_up], axis=1))
  down = of_blocks(w_down)
  hidden = _rounded(of_rows(x) @ gate_up)
  gate, up = np.split(hidden, 2, axis=1)
  activation = _rounded(silu(gate) * up)
  y = of_rows(activation) @ down

  da = _rounded(of_rows(dy) @ down.T)
  s = 1 / (1 + np.exp(-gate))
  to_gate = da * up * s * (1 + gate * (1 - s))
  dh = _rounded(np.concatenate([to_gate, da * gate * s], axis=1))
  d_gate_up = of_columns(x).T @ of_columns(dh)
  return y, Gradients(
    of_rows(dh) @ gate_up.T,
    *np.split(d_gate_up, 2, axis=1),
    of_columns(activation).T @ of_columns(dy),
  )


def _rounded(x):
  return x.astype(np.float32).astype(float)
