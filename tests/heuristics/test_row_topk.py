"""Configurations of the selection of largest values, and chunks of rows."""

import itertools

import pytest

from jax_deepgemm.heuristics.device import H200, KNOWN
from jax_deepgemm.heuristics.sm90_row_topk import (
  RowTopkProblem,
  choose,
  legal_row_topk_configs,
  num_parts,
)
from jax_deepgemm.heuristics.topk_chunks import rows_at_once


@pytest.mark.parametrize("device", KNOWN.values(), ids=lambda d: d.name)
def test_legal_configurations_have_room(device):
  for k in (1, 100, 2048, 4096, 16384):
    configs = list(
      legal_row_topk_configs(RowTopkProblem(264, 65536, k), device)
    )
    assert len(set(configs)) == len(configs) >= 1
    for config in configs:
      assert config.smem_bytes <= device.smem_bytes
      assert k + config.step <= config.capacity
      assert 1 << (k - 1).bit_length() <= config.capacity


def test_what_is_chosen_depends_on_no_number_of_rows():
  chosen = choose(RowTopkProblem(264, 65536, 2048), H200)
  assert choose(RowTopkProblem(3, 4096, 2048), H200) == chosen
  # Two blocks share a multiprocessor.
  assert 2 * chosen.smem_bytes <= H200.smem_bytes


@pytest.mark.parametrize("problem", [(1, 99999, 16385), (1, 2**31, 5)])
def test_what_does_not_fit_is_refused(problem):
  with pytest.raises(NotImplementedError, match="k up to 16384"):
    choose(RowTopkProblem(*problem), H200)


def test_few_long_rows_are_cut():
  assert num_parts(RowTopkProblem(264, 65536, 2048), H200) == 1
  assert num_parts(RowTopkProblem(66, 65536, 2048), H200) == 4
  assert num_parts(RowTopkProblem(4, 131072, 2048), H200) == 8
  assert num_parts(RowTopkProblem(4, 2048, 2048), H200) == 1


def test_chunks_are_of_one_size_and_fit_the_memory():
  assert rows_at_once(4096, 65536, H200) == 512
  assert rows_at_once(100, 65536, H200) == 100
  assert rows_at_once(1, 0, H200) == 1
  sizes = (1000, 4095, 4096, 32768), (1, 4097, 65536, 131072, 10**6, 10**9)
  for num_rows, width in itertools.product(*sizes):
    rows = rows_at_once(num_rows, width, H200)
    assert 1 <= rows <= num_rows
    assert rows == 1 or rows * width * 4 <= 192 << 20
    # The last chunk begins within the one before: few rows are computed twice.
    chunks = -(-num_rows // rows)
    assert chunks * rows - num_rows < max(8 * chunks, 1)
