"""Small exchanges of rows between ranks, and how to run them."""

import dataclasses
import functools

import numpy as np

from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.heuristics.mega_moe_arena import MegaMoeArena
from jax_deepgemm.heuristics.sm90_mega_moe_combine import (
  MegaMoeCombineProblem,
  Sm90MegaMoeCombineConfig,
)
from jax_deepgemm.heuristics.sm90_mega_moe_dispatch import (
  MegaMoeDispatchProblem,
  Sm90MegaMoeDispatchConfig,
)
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import (
  sm90_mega_moe_combine,
  sm90_mega_moe_dispatch,
)
from jax_deepgemm.primitives.kernel_call import Buffer
from jax_deepgemm.symmetric_memory import header
from tests import mega_moe_data, stand_in_experts
from tests.emulator.emulator import System

_TIMEOUT_NS = 300_000_000
_RECORD_WORDS = 16


@dataclasses.dataclass(frozen=True)
class MegaMoeCase:
  """Calls on one set of arenas, with a small kernel in the place of experts.

  Attributes:
    tokens: of each call, of each rank, how many rows count.
    num_rows: static rows of a rank.
    routing: of all calls, as `mega_moe_data.operands` says.
    num_ctas: of dispatch and of combine.
    absent: (rank, launches): a rank that stops after so many.
    stranger: a rank that calls with another shape.
    past_calls: how many there were on the arenas before.
    num_shared: of the experts of a rank.
  """

  num_experts: int
  top_k: int
  tokens: tuple[tuple[int, ...], ...]
  num_rows: int
  hidden: int = 128
  routing: str = "random"
  mma_type: str = "fp8xfp8"
  num_ctas: int = 2
  num_warps: int = 2
  absent: tuple[int, int] | None = None
  stranger: int | None = None
  past_calls: int = 0
  num_shared: int = 0

  def id(self) -> str:
    calls = "+".join("x".join(map(str, call)) for call in self.tokens)
    words = ["mega_moe", self.routing, f"{self.num_experts}e{self.top_k}"]
    words += [calls, f"{self.num_rows}x{self.hidden}", f"ctas={self.num_ctas}"]
    if self.mma_type == "bf16xbf16":
      words.append("bf16")
    if self.absent is not None:
      words.append("absent={}:{}".format(*self.absent))
    if self.stranger is not None:
      words.append(f"stranger={self.stranger}")
    if self.past_calls:
      words.append(f"past={self.past_calls}")
    return "-".join(words)

  @property
  def arena(self) -> MegaMoeArena:
    return MegaMoeArena(
      num_ranks=len(self.tokens[0]),
      num_experts=self.num_experts,
      max_tokens=self.num_rows,
      top_k=self.top_k,
      hidden=self.hidden,
      intermediate=128,
      mma_type=self.mma_type,
      num_shared_experts=self.num_shared,
    )

  def operands(self) -> list[list[mega_moe_data.RankOperands]]:
    """Returns the operands of each call and rank."""
    return [
      [
        mega_moe_data.operands(
          *(self.arena, self.num_rows, count, 100 * call + rank),
          *(self.routing, rank),
        )
        for rank, count in enumerate(counts)
      ]
      for call, counts in enumerate(self.tokens)
    ]

  def run(self, emulator, seed):
    return np.concatenate([_flat(x) for x in self.run_all(emulator, seed)[0]])

  def run_all(self, emulator, seed):
    """Returns results, call by call and rank by rank, and the records."""
    made = _Buffers(self)
    emulator.run_system(made.system(), seed)
    return made.results(), made.records()

  def expected(self):
    exact = expected(self)
    return exact, np.zeros_like(exact)

  def wrong_elements(self, result):
    right = expected(self)
    if result.shape != right.shape:
      return np.zeros((1, 1), np.int64)  # Other pools.
    return np.argwhere(result != right)

  def roles(self, kernel):
    name = kernel.recipe.kernel.removeprefix("sm90_mega_moe_")
    return [f"{name} {i}" for i in range(kernel.threads // 32)]


@functools.cache
def expected(case: MegaMoeCase) -> np.ndarray:
  """Returns the results of all calls as integers."""
  results = [
    result
    for ranks in case.operands()
    for result in mega_moe_data.results(case.arena, ranks)
  ]
  if case.stranger is not None:
    results = map(_nothing, results)
  return np.concatenate([_flat(result) for result in results])


def _nothing(result: mega_moe_data.RankResults) -> mega_moe_data.RankResults:
  """Returns what a rank has after a call that was stopped before rows came."""
  return mega_moe_data.RankResults(
    places=np.full_like(result.places, -1),
    group_sizes=np.zeros_like(result.group_sizes),
    scales=None if result.scales is None else result.scales[:0],
    sums=np.full(result.sums.shape, 0xFFFF, np.uint16),
  )


def _flat(result: mega_moe_data.RankResults) -> np.ndarray:
  """Returns bits of all that a rank has."""
  parts = [result.places, result.group_sizes, result.sums.view(np.int16)]
  if result.scales is not None:
    parts.append(result.scales.view(np.int32))
  return np.concatenate([part.ravel().astype(np.int64) for part in parts])


class _Buffers:
  """All buffers of a run; a rank's, its calls', and arenas of all."""

  def __init__(self, case: MegaMoeCase):
    self.case = case
    self.arrays: list[np.ndarray] = []
    self.owners: list[int | None] = []
    arena = case.arena
    self.arenas = [
      self._add(self._arena(rank), None) for rank in range(arena.num_ranks)
    ]
    self.boards = [
      self._add(np.zeros(_RECORD_WORDS, np.uint32), rank)
      for rank in range(arena.num_ranks)
    ]
    self.calls = []
    launches = [[] for _ in range(arena.num_ranks)]
    for ranks in case.operands():
      for rank, given in enumerate(ranks):
        launches[rank] += self._call(rank, given)
    if case.absent is not None:
      rank, count = case.absent
      launches[rank] = launches[rank][:count]
    self.launches = launches

  def system(self) -> System:
    pointers = []
    for buffer, board in zip(self.arenas, self.boards, strict=True):
      at = header.OFFSETS["status_board"]
      pointers.append((buffer.index, at, board.index))
      pointers += [
        (buffer.index, header.OFFSETS["peers"] + 8 * rank, peer.index)
        for rank, peer in enumerate(self.arenas)
      ]
    return System(self.launches, self.arrays, self.owners, pointers)

  def results(self) -> list[mega_moe_data.RankResults]:
    return [self._result(dispatch, sums) for dispatch, sums in self.calls]

  def records(self) -> np.ndarray:
    return np.stack([self.arrays[board.index] for board in self.boards])

  def _result(self, dispatch, sums) -> mega_moe_data.RankResults:
    sizes = self.arrays[dispatch.group_sizes.index]
    scales = None
    if dispatch.transposed_scales is not None:
      scales = self.arrays[dispatch.transposed_scales.index]
      scales = scales[:, : max(sizes.sum(), 0)].T
    places = self.arrays[dispatch.places.index]
    return mega_moe_data.RankResults(
      places, sizes, scales, self.arrays[sums.index]
    )

  def _add(self, array: np.ndarray, owner: int | None) -> Buffer:
    self.arrays.append(np.array(array, order="C"))
    self.owners.append(owner)
    return Buffer(len(self.arrays) - 1)

  def _poison(self, shape: tuple[int, ...], dtype, owner: int) -> Buffer:
    nbytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
    data = np.full(nbytes, 0xFF, np.uint8).view(dtype).reshape(shape)
    return self._add(data, owner)

  def _arena(self, rank: int) -> np.ndarray:
    arena = self.case.arena
    # What a kernel wrote before, or nobody did, is not to be read.
    data = np.full(arena.num_bytes, 0xFF, np.uint8)
    start = header.pack(rank, [0] * arena.num_ranks, _TIMEOUT_NS, 0)
    data[: len(start)] = np.frombuffer(start, np.uint8)
    flags = data[arena.flags_offset :]
    flags[: arena.part_bytes("flags")].view(np.uint32)[:] = self.case.past_calls
    data[header.OFFSETS["epoch"] :][:4].view(np.uint32)[:] = (
      self.case.past_calls
    )
    return data

  def _call(self, rank: int, given: mega_moe_data.RankOperands):
    case = self.case
    arena = case.arena
    if case.stranger == rank:
      arena = dataclasses.replace(arena, intermediate=256)
    options = Options(num_sms=case.num_ctas)
    problem = MegaMoeDispatchProblem(case.num_rows, arena)
    made = {
      name: self._poison(like.shape, like.dtype, rank)
      for name, like in sm90_mega_moe_dispatch.results(
        problem, H200, options
      ).items()
    }
    has_scales = given.scales is not None
    dispatch = sm90_mega_moe_dispatch.DispatchBuffers(
      rows=self._add(given.rows, rank),
      scales=self._add(given.scales, rank) if has_scales else None,
      experts=self._add(given.experts, rank),
      weights=self._add(given.weights, rank),
      num_tokens=self._add(np.array([given.num_tokens], np.int32), rank),
      arena=self.arenas[rank],
      **{"transposed_scales": None, **made},
    )
    sums = self._poison((case.num_rows, case.hidden), np.uint16, rank)
    self.calls.append((dispatch, sums))
    return [
      sm90_mega_moe_dispatch.kernel_call(
        problem,
        Sm90MegaMoeDispatchConfig(case.num_warps, 64, 2, has_scales),
        H200,
        options,
        dispatch,
      ),
      stand_in_experts.kernel_call(
        arena,
        dispatch.arena,
        dispatch.group_sizes,
        dispatch.row_addresses,
        dispatch.transposed_scales,
      ),
      sm90_mega_moe_combine.kernel_call(
        MegaMoeCombineProblem(case.num_rows, arena),
        Sm90MegaMoeCombineConfig(case.num_warps, 2),
        H200,
        options,
        sm90_mega_moe_combine.CombineBuffers(
          dispatch.places,
          dispatch.num_tokens,
          dispatch.arena,
          sums,
        ),
      ),
    ]
