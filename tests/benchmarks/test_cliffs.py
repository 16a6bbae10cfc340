"""The benchmark of cliffs: its pairs, its floors, its programs, its rows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import (
  cliff_programs,
  cliffs,
  command,
  kernel_programs,
  results,
)
from benchmarks.cliff_cases import Pair, Shape, floor_us, group_sizes, pairs
from benchmarks.cliff_programs import Program
from benchmarks.program_times import Times, times_of
from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.testing.profile import KernelEvent
from tests.gpu import shape_checks

_FAMILIES = {pair.shape.family for pair in pairs()}
_SMALL = [
  Shape("fp8", 70, 136, 300),
  Shape("bf16", 70, 136, 300),
  *(
    Shape(family, 90, 136, 260, 4, spread)
    for family in sorted(_FAMILIES)
    if family.startswith("m_grouped")
    for spread in ("zipf", "half")
  ),
  Shape("k_grouped_fp8", 24, 40, 700, 4, "zipf"),
  Shape("k_grouped_fp8", 24, 40, 700, 4, "half"),
]


def test_pairs_are_of_one_family_and_comparable():
  found = pairs()
  assert len(set(found)) == len(found) >= 40
  for _, shape, beside in found:
    assert shape != beside
    assert shape.family == beside.family
    assert 0.2 < floor_us(shape, H200) / floor_us(beside, H200) < 10
  assert {pair.shape.family for pair in pairs("masked")} == {
    "m_grouped_fp8_masked",
    "m_grouped_bf16_masked",
  }
  assert 0 < len(pairs("Zipf")) < len(found)


@pytest.mark.parametrize("total", [1, 1000, 16384])
@pytest.mark.parametrize("groups", [1, 8, 512])
@pytest.mark.parametrize("spread", ["even", "zipf", "half", "single"])
def test_groups_share_out_all_rows(total, groups, spread):
  if (groups, spread) == (1, "half"):
    return  # Its one group would be the empty one.
  sizes = group_sizes(total, groups, spread)
  assert len(sizes) == groups
  assert sum(sizes) == total
  assert min(sizes) >= 0


def test_spreads_are_what_they_are_called():
  sizes = sorted(group_sizes(16384, 64, "zipf"))
  assert sizes[-1] == pytest.approx(2 * sizes[-2], rel=0.03)
  assert sizes[0] == pytest.approx(sizes[-1] / 64, rel=0.03)
  assert group_sizes(12, 4, "half") == (0, 6, 0, 6)
  assert group_sizes(12, 4, "single") == (0, 0, 12, 0)
  with pytest.raises(ValueError, match="no spread is called 'x'"):
    group_sizes(1, 1, "x")


def test_floors_count_what_must_be_multiplied_or_moved():
  dense = Shape("fp8", 4096, 4096, 7168)
  compute = 2 * 4096 * 4096 * 7168 / 1979e12 * 1e6
  assert floor_us(dense, H200) == pytest.approx(compute + 2.5)
  one_more = dense._replace(m=4097)
  assert floor_us(one_more, H200) == pytest.approx(compute * 65 / 64 + 2.5)
  few = Shape("bf16", 1, 4096, 7168)
  num_bytes = 2 * (4097 * 7168 + 4096)
  assert floor_us(few, H200) == pytest.approx(num_bytes / 4.3e6 + 2.5)
  half = Shape("m_grouped_fp8_ragged", 512, 1024, 1024, 64, "half")
  num_bytes = (512 + 32 * 1024) * 1024 + 2 * 512 * 1024
  assert floor_us(half, H200) == pytest.approx(num_bytes / 4.3e6 + 2.5)
  tokens = Shape("k_grouped_fp8", 4096, 4096, 8, 4, "single")
  num_bytes = 8192 * 8 + 4 * 4 * 4096 * 4096
  assert floor_us(tokens, H200) == pytest.approx(num_bytes / 4.3e6 + 2.5)


@pytest.mark.parametrize("shape", _SMALL, ids=str)
def test_what_is_timed_is_the_product(shape):
  operands = cliff_programs.operands(shape)
  d = cliff_programs.product(shape)(*operands)
  shape_checks.check(shape, operands, d)
  rows, _ = shape_checks.elements_of(shape)
  flat = np.array(d.reshape(-1, shape.n))
  flat[rows[5], :24] *= -1  # Part of a tile, not of the elements compared.
  wrong = jnp.asarray(flat.reshape(d.shape))
  with pytest.raises(AssertionError):
    shape_checks.check(shape, operands, wrong)


@pytest.mark.parametrize(
  "shape", list(dict.fromkeys(pair.shape for pair in pairs())), ids=str
)
def test_each_shape_lowers_to_one_gemm_of_its_family(shape):
  arguments = jax.eval_shape(lambda: cliff_programs.operands(shape))
  lowered = kernel_programs.lowered_for(
    cliff_programs.product(shape), *arguments, device="NVIDIA H200"
  )
  kernel = cliff_programs.gemm_config(lowered)["kernel"]
  family = shape.family.removesuffix("_ragged").removesuffix("_masked")
  for form in ("_swapped", "_split"):
    kernel = kernel.removesuffix(form)
  assert kernel == f"sm90_{family}_gemm"


def _event(name, start, duration, module="jit_f"):
  return KernelEvent(name, module, 1e3 * start, 1e3 * duration)


def test_copies_count_in_the_total_alone():
  events, now = [], 0
  for duration in (5, 7, 6):
    events += [
      _event("fill", now, 100, "jit_flush_caches"),
      _event("pad_fusion", now + 200, 2),
      _event("sm90_fp8_gemm_x", now + 300, duration),
      _event("slice_fusion", now + 400, 1),
    ]
    now += 1000
  assert times_of(events, 1, 3) == [Times(9, 6)]
  assert times_of(events, 3, 1) == [
    Times(8, 5),
    Times(10, 7),
    Times(9, 6),
  ]


def _pair(m):
  return Pair("n", Shape("fp8", m, 512, 512), Shape("fp8", 128, 512, 512))


def test_rows_are_sorted_by_how_much_worse_than_the_neighbour():
  found = [_pair(129), _pair(130), _pair(131)]
  times = {
    found[0].shape: Times(8.0, 5.0),
    found[1].shape: Times(16.0, 15.0),
    found[0].beside: Times(8.0, 8.0),
  }
  program = Program(tuple, tuple, {"block_n": 64, "num_splits": 2})
  programs = dict.fromkeys(times, program)
  first, second = cliffs.rows_of(found, times, programs, H200)
  assert (first["case"]["m"], second["case"]["m"]) == (130, 129)
  assert first["time_ratio"] == 2
  floors = floor_us(found[1].shape, H200) / floor_us(found[1].beside, H200)
  assert first["ratio"] == pytest.approx(2 / floors, abs=1e-4)
  assert (second["us"], second["kernel_us"]) == (8, 5)
  text = cliffs.line(first)
  assert "fp8 130x512x512" in text
  assert "16.00 us (kernel    15.00)" in text
  assert "64 2 | 64 2" in text


def test_a_run_writes_rows_and_fails_above_a_bound(
  monkeypatch, tmp_path, capsys
):
  program = Program(tuple, tuple, {"block_n": 64})
  monkeypatch.setattr(command, "process_device", lambda: H200)
  monkeypatch.setattr(
    cliff_programs, "compiled", lambda shapes: dict.fromkeys(shapes, program)
  )
  monkeypatch.setattr(
    cliff_programs,
    "timed",
    lambda programs, _: ((s, Times(s.m + 0.0, 1.0)) for s in programs),
  )
  path = tmp_path / "cliffs.json"
  arguments = ["--output", str(path), "--only", "bf16: one row more"]
  assert cliffs.main(arguments) == 0
  rows = results.read(path)["rows"]
  assert [row["case"]["m"] for row in rows] == [17, 65, 129]
  assert cliffs.main([*arguments, "--fail-above", "1.01"]) == 1
  assert cliffs.main([*arguments, "--fail-above", "1.5"]) == 0
  with pytest.raises(SystemExit):
    cliffs.main(["--only", "no such pair"])
  assert "no pair has" in capsys.readouterr().err
