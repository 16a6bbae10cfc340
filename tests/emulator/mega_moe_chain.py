"""The five launches of a layer of one rank, one after the other."""

import dataclasses
import functools

import jax
import numpy as np

from jax_deepgemm.heuristics import m_grouped_bf16_gemm
from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.heuristics.m_grouped_fp8_fp4_gemm_swapped import (
  legal_grouped_swapped_configs,
)
from jax_deepgemm.heuristics.m_grouped_fp8_gemm import legal_grouped_configs
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import (
  sm90_m_grouped_bf16_gemm,
  sm90_m_grouped_fp8_fp4_gemm,
  sm90_m_grouped_fp8_gemm,
  sm90_mega_moe,
)
from jax_deepgemm.symmetric_memory import header
from tests.emulator.emulator import System

_TIMEOUT_NS = 300_000_000
_RECORD_BYTES = 64
_NUM_RETURNED = 3
# With FP4 weights the kernel for few rows, as in a layer of few tokens.
_PRODUCTS = (
  (sm90_m_grouped_fp8_gemm, legal_grouped_configs),
  (sm90_m_grouped_fp8_fp4_gemm, legal_grouped_swapped_configs),
  (sm90_m_grouped_bf16_gemm, m_grouped_bf16_gemm.legal_grouped_configs),
)


def results_of(arena, operands, emulator, seed, monkeypatch):
  """Returns y, group_sizes and hidden.

  Args:
    arena: sizes of one rank.
    operands: NumPy arrays by name.
    emulator: runs the launches.
    seed: of the schedule.
    monkeypatch: of the test; products get one small configuration.
  """
  for module, legal_configs in _PRODUCTS:
    small = functools.partial(_small, legal_configs)
    monkeypatch.setattr(module, "choose_grouped", small)
  layer = sm90_mega_moe.Layer(
    num_tokens=len(operands["x"]),
    arena=arena,
    expected_m=4,
    options=Options(num_sms=2),
    device=H200,
  )
  buffers = sm90_mega_moe.chain_buffers(layer, has_num_tokens=True)
  results = [_poison(like) for like in buffers.results.values()]
  board = np.zeros(_RECORD_BYTES, np.uint8)
  arrays = [np.array(operands[name], order="C") for name in buffers.operands]
  arrays += [*results, _memory_of(arena), board]
  place = len(arrays) - 2
  pointers = [
    (place, header.OFFSETS["status_board"], place + 1),
    (place, header.OFFSETS["peers"], place),
  ]
  calls = sm90_mega_moe.kernel_calls(layer, buffers)
  system = System([calls], arrays, [None] * len(arrays), pointers)
  emulator.run_system(system, seed)
  assert not board.any()
  return results[:_NUM_RETURNED]


def named(arena, *operands, clamp, num_tokens):
  """Returns x, idx, weights, l1 and l2, with scales or not, by their names."""
  values = [*jax.tree.leaves(operands), np.float32(clamp)]
  names = sm90_mega_moe.operand_names(arena)
  found = dict(zip(names, values, strict=True))
  return found | {"num_tokens": np.array([num_tokens], np.int32)}


def _small(legal_configs, problem, device, **options):
  """Returns one configuration for both products, in the chooser's place."""
  del device, options
  problem = dataclasses.replace(problem, expected_m=problem.m)
  wanted = {"block_n": 64, "num_math_warpgroups": 1, "cluster_m": 1}
  fits = [
    config
    for config in sorted(legal_configs(problem, H200), key=str)
    if all(getattr(config, name, want) == want for name, want in wanted.items())
  ]
  return dataclasses.replace(fits[0], num_stages=3)


def _poison(like):
  data = np.full(like.size * like.dtype.itemsize, 0xFF, np.uint8)
  return data.view(like.dtype).reshape(like.shape)


def _memory_of(arena):
  """Returns symmetric memory before the first call."""
  data = np.full(arena.num_bytes, 0xFF, np.uint8)
  start = header.pack(0, [0], _TIMEOUT_NS, 0)
  data[: len(start)] = np.frombuffer(start, np.uint8)
  # The flags alone begin as zeros.
  flags = data[arena.flags_offset :]
  flags[: arena.part_bytes("flags")] = 0
  return data
