"""What `tune` knows of each family of kernels: how to choose and to call it."""

import dataclasses
import itertools
from collections.abc import Callable, Iterable
from typing import Any

import jax

from jax_deepgemm.cli import tuning_operands
from jax_deepgemm.heuristics import (
  bf16_gemm,
  fp8_gemm,
  m_grouped_bf16_gemm,
  m_grouped_fp8_gemm,
  sm90_bf16_gemm,
  sm90_bf16_gemm_swapped,
  sm90_fp8_gemm,
  sm90_fp8_gemm_split,
  sm90_fp8_gemm_swapped,
  tuned,
  tuned_bf16,
  tuned_grouped,
)
from jax_deepgemm.heuristics import sm90_k_grouped_fp8_gemm as k_grouped
from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.m_grouped_bf16_gemm_cost import (
  estimate_grouped_seconds as estimate_grouped_bf16_seconds,
)
from jax_deepgemm.heuristics.m_grouped_fp8_gemm_cost import (
  estimate_grouped_seconds,
)
from jax_deepgemm.heuristics.user_table import Key


@dataclasses.dataclass(frozen=True)
class Family:
  """Functions of a problem, most of them those that lowering calls.

  Attributes:
    name: in the table.
    problem_name: of a problem, in the table.
    key_of: what tells a configuration from the others.
    legal: all configurations of a problem on a device.
    choose: the configuration that is taken if nothing was measured.
    estimate: seconds of (problem, configuration, device).
    operands: random arrays for `call`.
    call: returns a new function of them, to be lowered.
    kernel_name: what names of kernels hold that count; "" counts all.
  """

  name: str
  problem_name: Callable[[Any], str]
  key_of: Callable[[Any], Key]
  legal: Callable[[Any, Device], Iterable[Any]]
  choose: Callable[[Any, Device], Any]
  estimate: Callable[[Any, Any, Device], float]
  operands: Callable[[Any], tuple[Any, ...]]
  call: Callable[[Any], Callable[..., jax.Array]]
  kernel_name: str = "sm90_"


def _legal_fp8(
  problem: sm90_fp8_gemm.Fp8GemmProblem, device: Device
) -> Iterable[fp8_gemm.Config]:
  return itertools.chain(
    sm90_fp8_gemm.legal_configs(problem, device),
    sm90_fp8_gemm_swapped.legal_swapped_configs(problem, device),
    sm90_fp8_gemm_split.legal_split_configs(problem, device),
  )


def _legal_bf16(
  problem: sm90_bf16_gemm.Bf16GemmProblem, device: Device
) -> Iterable[bf16_gemm.Config]:
  return itertools.chain(
    sm90_bf16_gemm.legal_configs(problem, device),
    sm90_bf16_gemm_swapped.legal_swapped_configs(problem, device),
  )


FP8 = Family(
  name=tuned.FAMILY,
  problem_name=tuned.problem_name,
  key_of=tuned.key_of,
  legal=_legal_fp8,
  choose=fp8_gemm.choose,
  estimate=fp8_gemm.estimate,
  operands=tuning_operands.fp8,
  call=tuning_operands.call_fp8,
)
BF16 = Family(
  name=tuned_bf16.FAMILY,
  problem_name=tuned_bf16.problem_name,
  key_of=tuned_bf16.key_of,
  legal=_legal_bf16,
  choose=bf16_gemm.choose,
  estimate=bf16_gemm.estimate,
  operands=tuning_operands.bf16,
  call=tuning_operands.call_bf16,
)
M_GROUPED_FP8 = Family(
  name=tuned_grouped.M_GROUPED,
  problem_name=tuned_grouped.m_grouped_name,
  key_of=tuned.key_of,
  legal=m_grouped_fp8_gemm.legal_grouped_configs,
  choose=m_grouped_fp8_gemm.choose_grouped,
  estimate=estimate_grouped_seconds,
  operands=tuning_operands.m_grouped_fp8,
  call=tuning_operands.call_m_grouped_fp8,
)
M_GROUPED_BF16 = Family(
  name=tuned_grouped.M_GROUPED_BF16,
  problem_name=tuned_grouped.m_grouped_bf16_name,
  key_of=tuned_bf16.key_of,
  legal=m_grouped_bf16_gemm.legal_grouped_configs,
  choose=m_grouped_bf16_gemm.choose_grouped,
  estimate=estimate_grouped_bf16_seconds,
  operands=tuning_operands.m_grouped_bf16,
  call=tuning_operands.call_m_grouped_bf16,
)
K_GROUPED_FP8 = Family(
  name=k_grouped.FAMILY,
  problem_name=k_grouped.problem_name,
  key_of=k_grouped.key_of,
  legal=k_grouped.legal_k_grouped_configs,
  choose=k_grouped.choose,
  estimate=k_grouped.estimate_k_grouped_seconds,
  operands=tuning_operands.k_grouped_fp8,
  call=tuning_operands.call_k_grouped_fp8,
  kernel_name="",  # The sum of parts is XLA's.
)
