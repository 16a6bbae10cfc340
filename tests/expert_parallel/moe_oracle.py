"""A layer of experts in float64, row by row, and what it may leave out."""

import dataclasses

import numpy as np

from tests import oracle


@dataclasses.dataclass(frozen=True)
class Routing:
  """What goes where. Tokens of rank r are the r-th equal part of the rows.

  Attributes:
    ids: `[ranks * t, top_k]`.
    ranks: of one group.
    num_experts: of one group.
    max_rows: room at each rank.
  """

  ids: np.ndarray
  ranks: int
  num_experts: int
  max_rows: int

  def arrivals(self, rank):
    """Returns (expert, token, choice) of every row that `rank` is sent."""
    per_rank = self.num_experts // self.ranks
    rows = [
      (int(expert), token, choice)
      for token, choices in enumerate(self.ids)
      for choice, expert in enumerate(choices)
      if 0 <= expert < self.num_experts and expert // per_rank == rank
    ]
    return sorted(rows)

  def kept(self, rank):
    """Returns those that find room."""
    return self.arrivals(rank)[: self.max_rows]

  def group_sizes(self, rank):
    per_rank = self.num_experts // self.ranks
    experts = [expert - rank * per_rank for expert, _, _ in self.kept(rank)]
    return np.bincount(experts, minlength=per_rank)

  def num_dropped(self, rank):
    return len(self.arrivals(rank)) - len(self.kept(rank))

  def all_kept(self):
    return [row for rank in range(self.ranks) for row in self.kept(rank)]


def layer(routing, x, w, weights):
  """Returns y[i] = sum_c weights[i, c] x[i] w[ids[i, c]]."""
  y = np.zeros((x.shape[0], w.shape[2]))
  for expert, token, choice in routing.all_kept():
    y[token] += weights[token, choice] * (x[token] @ w[expert])
  return y


def gradients(routing, x, w, weights, dy):
  """Returns those of sum(y * dy) for x, w and weights."""
  dx, dw, dweights = np.zeros(x.shape), np.zeros(w.shape), weights * 0.0
  for expert, token, choice in routing.all_kept():
    weight = weights[token, choice]
    dx[token] += weight * (w[expert] @ dy[token])
    dw[expert] += weight * np.outer(x[token], dy[token])
    dweights[token, choice] += x[token] @ w[expert] @ dy[token]
  return dx, dw, dweights


def through_fp8(x):
  """Returns x as it is after a cast 1 x 128 with powers of two."""
  codes, scales = oracle.cast_to_fp8(x, 1, 128, use_ue8m0=True)
  return codes * np.repeat(scales, 128, axis=1)[:, : x.shape[1]]
