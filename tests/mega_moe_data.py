"""What a mixture of experts over several ranks gets, and what comes out."""

import dataclasses

import ml_dtypes
import numpy as np

from jax_deepgemm.heuristics.mega_moe_arena import MegaMoeArena


@dataclasses.dataclass(frozen=True)
class RankOperands:
  """One rank's operands of a call.

  Attributes:
    rows: bytes `[t, hidden]`, or bfloat16.
    scales: float32 `[t, hidden / 128]`, or None.
    experts: int32 `[t, top_k]`.
    weights: float32 `[t, top_k]`.
    num_tokens: how many rows count.
  """

  rows: np.ndarray
  scales: np.ndarray | None
  experts: np.ndarray
  weights: np.ndarray
  num_tokens: int


@dataclasses.dataclass(frozen=True)
class RankResults:
  """What a rank has after a call; only the pool's rows of scales."""

  places: np.ndarray
  group_sizes: np.ndarray
  scales: np.ndarray | None
  sums: np.ndarray


def operands(
  arena: MegaMoeArena,
  num_rows: int,
  num_tokens: int,
  seed: int,
  routing: str = "random",
  rank: int = 0,
) -> RankOperands:
  """Returns a rank's operands; what does not count is NaN or no expert.

  Args:
    arena: sizes.
    num_rows: static rows.
    num_tokens: rows that count.
    seed: of values.
    routing: "random" with -1 and numbers out of range, "last": all tokens to
      the last expert, "none": to no expert, "distinct": to top_k others,
      "shared": to experts of the last rank and to shared ones of their own.
    rank: whose operands these are.
  """
  generator = np.random.default_rng(seed)
  shape = (num_rows, arena.top_k)
  experts = generator.permuted(
    np.tile(np.arange(arena.num_experts), (num_rows, 1)), axis=1
  )[:, : arena.top_k]
  if routing == "random":
    skipped = generator.random(shape)
    experts[skipped < 0.2] = -1
    experts[skipped > 0.9] = arena.num_experts + 3
  elif routing == "last":
    experts[:] = -1
    experts[:, 0] = arena.num_experts - 1
  elif routing == "none":
    experts[:] = -5
  elif routing == "shared":
    here, routed = arena.experts_per_rank, arena.routed_per_rank
    experts[:] = arena.num_experts - here + np.arange(arena.top_k)
    shared = rank * here + np.arange(routed, here)
    experts[:, arena.routed_top_k :] = shared
  weights = 2.0 ** generator.integers(-3, 4, shape)
  counts = (np.arange(num_rows) < num_tokens)[:, None]
  if arena.mma_type == "bf16xbf16":
    rows = generator.integers(-64, 64, (num_rows, arena.hidden))
    rows = np.where(counts, rows, np.nan).astype(ml_dtypes.bfloat16)
    scales = None
  else:
    rows = generator.integers(0, 255, (num_rows, arena.hidden))
    rows = np.where(counts, rows, 255).astype(np.uint8)
    scales = 2.0 ** generator.integers(-9, 9, (num_rows, arena.hidden // 128))
    scales = np.where(counts, scales, np.nan).astype(np.float32)
  return RankOperands(
    rows,
    scales,
    experts.astype(np.int32),
    np.where(counts, weights, np.nan).astype(np.float32),
    num_tokens,
  )


def results(
  arena: MegaMoeArena, ranks: list[RankOperands]
) -> list[RankResults]:
  """Returns what each rank has after a call whose experts are `expert`."""
  pools: list[list[tuple[int, int, int, int]]] = []
  for rank in range(arena.num_ranks):
    first = rank * arena.experts_per_rank
    pool = [
      (int(expert), source, token, slot)
      for source, given in enumerate(ranks)
      for token in range(min(max(given.num_tokens, 0), len(given.rows)))
      for slot, expert in enumerate(given.experts[token])
      if first <= expert < first + arena.experts_per_rank
    ]
    pools.append(sorted(pool))
  places = [np.full(r.experts.shape, -1, np.int32) for r in ranks]
  for pool in pools:
    for place, (_, source, token, slot) in enumerate(pool):
      places[source][token, slot] = place
  return [
    RankResults(
      places[rank],
      _sizes(arena, rank, pools[rank]),
      _scales(ranks, pools[rank]),
      _sums(arena, ranks[rank], places[rank]),
    )
    for rank in range(arena.num_ranks)
  ]


def _sizes(arena, rank, pool):
  first = rank * arena.experts_per_rank
  experts = np.array([entry[0] - first for entry in pool], np.int64)
  sizes = np.bincount(experts, minlength=arena.experts_per_rank)
  return sizes.astype(np.int32)


def _scales(ranks, pool):
  if ranks[0].scales is None:
    return None
  blocks = ranks[0].scales.shape[1]
  rows = [ranks[source].scales[token] for _, source, token, _ in pool]
  return np.array(rows, np.float32).reshape(-1, blocks)


def expert(
  rows: np.ndarray, scales: np.ndarray | None, weight: float, local: int
) -> np.ndarray:
  """Returns what stands for expert `local` of a rank: (row + local) * weight.

  Rounded to bfloat16; every byte of a row, its scale, its weight and its expert
  show in the result.
  """
  values = rows.astype(np.float32) + np.float32(local)
  if scales is not None:
    values = values * np.repeat(scales, 128)
  return (values * np.float32(weight)).astype(ml_dtypes.bfloat16)


def _sums(arena, given, places):
  sums = np.zeros((len(given.rows), arena.hidden), np.float32)
  for token, slot in np.argwhere(places >= 0):
    sums[token] += expert(
      given.rows[token],
      None if given.scales is None else given.scales[token],
      given.weights[token, slot],
      given.experts[token, slot] % arena.experts_per_rank,
    ).astype(np.float32)
  return sums.astype(ml_dtypes.bfloat16)
