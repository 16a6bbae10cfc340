"""`python -m tests.emulator` replays a seed, and says what fails."""

import pytest

from tests.emulator.command_line import ALL_MUTATIONS, CASES, main
from tests.emulator.launch_mutations import LAUNCH_MUTATIONS
from tests.emulator.mutations import SPLIT

CASE = SPLIT.id()


def run(capsys, toolchain, *words):
  status = main([*map(str, words)], toolchain)
  return status, capsys.readouterr().out


def test_a_clean_run_says_so(capsys, toolchain):
  status, out = run(capsys, toolchain, "--case", CASE, "--seed", 7)
  assert status == 0
  assert f"{CASE}: 1 of 1 runs are right" in out


@pytest.mark.parametrize("mutation", ["parity_stays", "too_little_memory"])
def test_a_run_with_a_mistake_fails_and_says_where(capsys, toolchain, mutation):
  status, out = run(capsys, toolchain, "--mutate", mutation, "--seed", 3)
  assert status == 1
  assert "sm90_fp8_gemm, seed 3: " in out
  role, line = {
    "parity_stays": ("(TMA loads)", "sm90_fp8_gemm_load.cuh:"),
    "too_little_memory": ("(math 0.", "tile_store.cuh:"),
  }[mutation]
  assert any(role in row and line in row for row in out.splitlines())


def test_a_failing_seed_is_looked_for_and_can_be_replayed(capsys, toolchain):
  words = ("--mutate", "arrival_does_not_wait_for_copies", "--seeds", 100)
  status, out = run(capsys, toolchain, *words)
  assert status == 1
  report, command = out.split("\n\nagain: python -m tests.emulator ")
  assert run(capsys, toolchain, *command.split()) == (
    1,
    f"{report}\n\nagain: python -m tests.emulator {command}",
  )


def test_a_trace_lists_what_one_thread_does(capsys, toolchain):
  words = ("--case", CASE, "--seed", 7, "--trace", "1:4")
  status, out = run(capsys, toolchain, *words)
  assert status == 0
  assert "tma_load at sm90_fp8_gemm_load.cuh:" in out
  assert "  waits for mbarrier 0x" in out
  assert "takes effect: tma_load at " in out
  _, other_lane = run(capsys, toolchain, *words[:-1], "1:4:1")
  assert "tma_load" not in other_lane


def test_all_cases_and_mutations_are_listed(capsys, toolchain):
  status, out = run(capsys, toolchain, "--list")
  assert status == 0
  assert all(f"  {case.id()}\n" in out for case in CASES)
  assert all(f"  {mutation.name}\n" in out for mutation in ALL_MUTATIONS)
  assert all(f"  {name}\n" in out for name in LAUNCH_MUTATIONS)


def test_a_name_that_no_case_has_is_an_error(capsys, toolchain):
  status, out = run(capsys, toolchain, "--case", "no such case")
  assert status == 2
  assert "no case has 'no such case' in its name" in out
