"""Replays a case and a seed on the CPU, or looks for seeds that fail.

Returns 0 if every run is right and 1 if one is not, whose report it prints.
"""

import argparse
import contextlib
import pathlib
import shlex
import tempfile

import numpy as np
from tqdm import tqdm

from tests.emulator import (
  test_batched_k_bf16_gemm,
  test_bf16_gemm,
  test_casts,
  test_fp8_fp4_gemm,
  test_fp8_gemm,
  test_hc_prenorm_gemm,
  test_k_grouped_bf16_gemm,
  test_k_grouped_fp8_gemm,
  test_m_grouped_bf16_gemm,
  test_m_grouped_fp8_fp4_gemm,
  test_m_grouped_fp8_gemm,
  test_mega_moe,
  test_mqa_fp4_logits,
  test_mqa_logits,
  test_pad_rows,
  test_paged_mqa_fp4_logits,
  test_paged_mqa_logits,
  test_row_topk,
)
from tests.emulator.batched_k_mutations import BATCHED_K_MUTATIONS
from tests.emulator.bf16_mutations import BF16_MUTATIONS
from tests.emulator.bf16_swapped_cases import BF16_SWAPPED_CASES
from tests.emulator.bf16_swapped_mutations import BF16_SWAPPED_MUTATIONS
from tests.emulator.cast_mutations import CAST_MUTATIONS
from tests.emulator.emulator import Emulator, Thread
from tests.emulator.fp4_mutations import FP4_MUTATIONS
from tests.emulator.hc_prenorm_mutations import HC_PRENORM_MUTATIONS
from tests.emulator.k_grouped_bf16_mutations import K_GROUPED_BF16_MUTATIONS
from tests.emulator.k_grouped_mutations import K_GROUPED_MUTATIONS
from tests.emulator.kernel_case import KernelCase
from tests.emulator.launch_mutations import LAUNCH_MUTATIONS
from tests.emulator.m_grouped_bf16_mutations import M_GROUPED_BF16_MUTATIONS
from tests.emulator.m_grouped_fp4_mutations import M_GROUPED_FP4_MUTATIONS
from tests.emulator.m_grouped_mutations import M_GROUPED_MUTATIONS
from tests.emulator.mega_moe_mutations import MEGA_MOE_MUTATIONS
from tests.emulator.mqa_fp4_mutations import MQA_FP4_MUTATIONS
from tests.emulator.mqa_mutations import MQA_MUTATIONS
from tests.emulator.mutated import MutatedLaunches, examine, mutated
from tests.emulator.mutations import MUTATIONS, SPLIT, Mutation
from tests.emulator.pad_rows_mutations import PAD_ROWS_MUTATIONS
from tests.emulator.paged_mqa_fp4_mutations import PAGED_MQA_FP4_MUTATIONS
from tests.emulator.paged_mqa_mutations import PAGED_MQA_MUTATIONS
from tests.emulator.row_topk_mutations import ROW_TOPK_MUTATIONS
from tests.emulator.split_cases import SPLIT_CASES
from tests.emulator.split_mutations import SPLIT_MUTATIONS
from tests.emulator.swapped_cases import SWAPPED_CASES
from tests.emulator.swapped_mutations import SWAPPED_MUTATIONS
from tests.emulator.toolchain import (
  BUILD,
  CUDA,
  Toolchain,
  digest,
  folder_digest,
)

CASES = (
  *test_fp8_gemm.CASES,
  *SWAPPED_CASES,
  *SPLIT_CASES,
  *test_bf16_gemm.CASES,
  *BF16_SWAPPED_CASES,
  *test_m_grouped_fp8_gemm.CASES,
  *test_m_grouped_bf16_gemm.CASES,
  *test_k_grouped_fp8_gemm.CASES,
  *test_k_grouped_bf16_gemm.CASES,
  *test_batched_k_bf16_gemm.CASES,
  *test_fp8_fp4_gemm.CASES,
  *test_m_grouped_fp8_fp4_gemm.CASES,
  *test_mqa_logits.CASES,
  *test_paged_mqa_logits.CASES,
  *test_mqa_fp4_logits.CASES,
  *test_paged_mqa_fp4_logits.CASES,
  *test_row_topk.CASES,
  *test_casts.CASES,
  *test_casts.FUSED,
  *test_pad_rows.CASES,
  *test_hc_prenorm_gemm.CASES,
  *test_mega_moe.CASES,
)
ALL_MUTATIONS = (
  *MUTATIONS,
  *SWAPPED_MUTATIONS,
  *SPLIT_MUTATIONS,
  *BF16_MUTATIONS,
  *BF16_SWAPPED_MUTATIONS,
  *M_GROUPED_MUTATIONS,
  *M_GROUPED_BF16_MUTATIONS,
  *K_GROUPED_MUTATIONS,
  *K_GROUPED_BF16_MUTATIONS,
  *BATCHED_K_MUTATIONS,
  *MQA_MUTATIONS,
  *PAGED_MQA_MUTATIONS,
  *MQA_FP4_MUTATIONS,
  *PAGED_MQA_FP4_MUTATIONS,
  *ROW_TOPK_MUTATIONS,
  *CAST_MUTATIONS,
  *PAD_ROWS_MUTATIONS,
  *FP4_MUTATIONS,
  *M_GROUPED_FP4_MUTATIONS,
  *HC_PRENORM_MUTATIONS,
  *MEGA_MOE_MUTATIONS,
)
_MUTATIONS = {mutation.name: mutation for mutation in ALL_MUTATIONS}


def main(
  arguments: list[str] | None = None, toolchain: Toolchain | None = None
) -> int:
  """Returns the exit status; `toolchain` keeps what others compiled."""
  parsed = _parser().parse_args(arguments)
  if parsed.list:
    _print_names()
    return 0
  cases = _cases(parsed.case, parsed.mutate)
  if not cases:
    print(f"no case has {parsed.case!r} in its name; see --list")
    return 2
  if toolchain is None:
    # Kernels stay there, too: a second look takes no compiler.
    toolchain = Toolchain(BUILD, for_debugger=parsed.debug)
  emulator = _emulator(toolchain, parsed.mutate)
  emulator.traced = parsed.trace
  seeds = range(parsed.seed, parsed.seed + parsed.seeds)
  wrong = [not _check(case, emulator, seeds, parsed) for case in cases]
  return int(any(wrong))


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser("python -m tests.emulator")
  add = parser.add_argument
  add("--list", action="store_true", help="names of cases and mutations")
  add("--case", metavar="TEXT", help="cases with this in their name")
  add("--seed", type=int, default=0, help="the first seed")
  add("--seeds", type=int, default=1, help="how many; stops at a failure")
  add("--mutate", choices=[*_MUTATIONS, *LAUNCH_MUTATIONS], metavar="NAME")
  add(
    "--trace",
    type=_thread,
    metavar="CTA:WARP[:LANE[:RANK]]",
    help="list what this thread does",
  )
  add("--debug", action="store_true", help="compile for a debugger")
  return parser


def _thread(text: str) -> Thread:
  return Thread(*map(int, text.split(":")))


def _print_names() -> None:
  print("cases")
  for case in CASES:
    print(f"  {case.id()}")
  print("mutations (a case of their own, unless one is named)")
  for name in (*_MUTATIONS, *LAUNCH_MUTATIONS):
    print(f"  {name}")


def _cases(text: str | None, mutation: str | None) -> list[KernelCase]:
  if text is None and mutation is not None:
    return [_MUTATIONS[mutation].case if mutation in _MUTATIONS else SPLIT]
  # Those of mutations too: a report names them.
  known = {case.id(): case for case in CASES}
  known |= {entry.case.id(): entry.case for entry in ALL_MUTATIONS}
  if text in known:
    return [known[text]]
  return [case for name, case in known.items() if (text or "") in name]


def _emulator(toolchain: Toolchain, mutation: str | None) -> Emulator:
  if mutation in LAUNCH_MUTATIONS:
    return MutatedLaunches(toolchain, LAUNCH_MUTATIONS[mutation])
  if mutation is None:
    return Emulator(toolchain)
  return Emulator(toolchain, _changed(toolchain, _MUTATIONS[mutation]))


def _changed(toolchain: Toolchain, mutation: Mutation) -> pathlib.Path:
  """Returns the folder of the changed header, which stays for the next call."""
  version = digest(folder_digest(CUDA), str(mutation))
  folder = toolchain.folder / "mutated" / f"{mutation.name}-{version}"
  if not folder.exists():
    folder.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=toolchain.folder) as temporary:
      made = mutated(mutation, pathlib.Path(temporary) / "cuda")
      # Unless another process was faster.
      with contextlib.suppress(OSError):
        made.rename(folder)
  return folder


def _check(
  case: KernelCase,
  emulator: Emulator,
  seeds: range,
  parsed: argparse.Namespace,
) -> bool:
  """Runs one case, prints how it went, and returns whether it is right."""
  emulator.roles = case.roles
  # No bar where nobody watches, or for one run.
  bar = tqdm(seeds, case.id(), disable=True if parsed.seeds == 1 else None)
  for seed in bar:
    problem, result = examine(case, emulator, seed)
    if problem is None and seed != seeds[-1]:
      continue
    bar.close()
    print("\n".join(emulator.trace), end="\n" * bool(emulator.trace))
    if problem is not None:
      print(f"{problem}\n\nagain: {_command(case, seed, parsed.mutate)}")
      return False
  error = _largest_error(case, result)
  print(
    f"{case.id()}: {parsed.seeds} of {parsed.seeds} runs are right, the last "
    f"with {error:.0%} of the error that rounding explains"
  )
  return True


def _largest_error(case: KernelCase, result: np.ndarray) -> float:
  exact, bound = case.expected()
  error = np.abs(result.astype(np.float64) - exact)
  # Without a bound are zeros, which were compared.
  return float(np.max(error[bound > 0] / bound[bound > 0], initial=0))


def _command(case: KernelCase, seed: int, mutation: str | None) -> str:
  words = ["python", "-m", "tests.emulator", "--case", case.id()]
  words += ["--seed", str(seed)]
  return shlex.join(words + (["--mutate", mutation] if mutation else []))
