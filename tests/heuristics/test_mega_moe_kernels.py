"""What dispatch and combine launch: sizes, limits, and what ranks compare."""

import dataclasses

import pytest

from jax_deepgemm.heuristics import (
  sm90_mega_moe_combine as combine,
)
from jax_deepgemm.heuristics import (
  sm90_mega_moe_dispatch as dispatch,
)
from jax_deepgemm.heuristics.device import H200, KNOWN
from jax_deepgemm.heuristics.mega_moe_arena import MegaMoeArena

_ARENA = MegaMoeArena(8, 256, 4096, 8, 7168, 2048)


def _with(**sizes):
  return dataclasses.replace(_ARENA, **sizes)


@pytest.mark.parametrize("device", KNOWN.values(), ids=lambda d: d.name)
@pytest.mark.parametrize("num_tokens", [0, 1, 8, 200, 4096])
def test_all_ctas_are_resident_at_once(num_tokens, device):
  problem = dispatch.MegaMoeDispatchProblem(num_tokens, _ARENA)
  config = dispatch.choose(problem, device)
  assert config.smem_bytes <= device.smem_bytes
  assert 1 <= dispatch.num_ctas(problem, device, 999) <= device.num_sms
  sums = combine.MegaMoeCombineProblem(num_tokens, _ARENA)
  assert combine.choose(sums).smem_bytes <= 48 * 1024
  assert 1 <= combine.num_ctas(sums, device, None) <= device.num_sms


@pytest.mark.parametrize(
  ("num_tokens", "ctas", "summing"),
  [(1, 1, 2), (8, 2, 14), (128, 32, 132), (4096, 132, 132)],
)
def test_few_tokens_take_few_ctas(num_tokens, ctas, summing):
  problem = dispatch.MegaMoeDispatchProblem(num_tokens, _ARENA)
  assert dispatch.num_ctas(problem, H200, None) == ctas
  sums = combine.MegaMoeCombineProblem(num_tokens, _ARENA)
  assert combine.num_ctas(sums, H200, None) == summing


@pytest.mark.parametrize(
  ("num_experts", "most"), [(8, 64), (64, 64), (65, 256), (1024, 1024)]
)
def test_shared_memory_has_room_for_every_expert(num_experts, most):
  arena = _with(num_ranks=1, num_experts=num_experts)
  problem = dispatch.MegaMoeDispatchProblem(1, arena)
  assert dispatch.choose(problem, H200).max_experts == most


@pytest.mark.parametrize(
  "sizes",
  [
    {"num_experts": 1032},
    {"num_ranks": 128},
    {"top_k": 33},
    {"max_tokens": 2**26},
  ],
)
def test_what_is_too_large_is_refused_with_a_way_out(sizes):
  problem = dispatch.MegaMoeDispatchProblem(1, _with(**sizes))
  with pytest.raises(NotImplementedError, match="implementation="):
    dispatch.choose(problem, H200)


def test_too_many_tokens_to_sum_are_refused():
  problem = combine.MegaMoeCombineProblem(2**27, _ARENA)
  with pytest.raises(NotImplementedError, match="pieces"):
    combine.choose(problem)


def test_ranks_of_other_shapes_have_other_hashes():
  arenas = [
    _ARENA,
    _with(num_experts=264),
    _with(max_tokens=4095),
    _with(top_k=7),
    _with(intermediate=2049),
    _with(mma_type="bf16xbf16"),
  ]
  hashes = {
    dispatch.MegaMoeDispatchProblem(1, arena).shape_hash for arena in arenas
  }
  assert len(hashes) == len(arenas)
  assert all(0 <= value < 2**31 for value in hashes)
  # Ranks may have any number of rows.
  same = {
    dispatch.MegaMoeDispatchProblem(n, _ARENA).shape_hash for n in range(5)
  }
  assert len(same) == 1
