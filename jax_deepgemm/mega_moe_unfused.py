"""`mega_moe` step by step, each an operation of this package.

The reference of the fused kernels, whose bits are these, and what runs where
there is no such kernel. On a GPU the steps are kernels, but for the exchange,
which is XLA's ragged all-to-all.
"""

from typing import NamedTuple

import jax

from jax_deepgemm.gemm_operands import Operand
from jax_deepgemm.mega_moe_exchange import dispatched, plan_of, returned
from jax_deepgemm.mega_moe_experts import activation, product
from jax_deepgemm.mega_moe_params import MegaMoeOperands, MegaMoeParams
from jax_deepgemm.scaled_array import ScaledArray


class MegaMoeResults(NamedTuple):
  """What either implementation returns.

  Attributes:
    y: `[t, hidden]` bfloat16.
    group_sizes: int32 `[experts_per_rank]`, rows that came for each expert.
    hidden: bfloat16 `[capacity, 2 intermediate]`, gate beside up, of these;
      what lies past them may be anything.
  """

  y: jax.Array
  group_sizes: jax.Array
  hidden: jax.Array


def forward(operands: MegaMoeOperands, params: MegaMoeParams) -> MegaMoeResults:
  """Returns the layer's results.

  Args:
    operands: x and weights as products read them: with scales, or in bfloat16.
    params: of the layer.
  """
  expected_m = params.expected_m(operands.topk_idx.shape[0])
  plan, sizes, _ = plan_of(operands.topk_idx, operands.num_tokens, params)
  rows, weights = dispatched(
    jax.tree.leaves(operands.x), operands.topk_weights, plan
  )
  x: Operand = ScaledArray(*rows) if params.is_fp8 else rows[0]
  hidden = product(x, operands.l1, sizes, expected_m, params)
  rows_of_l2 = activation(hidden, weights, sizes, params)
  out = product(rows_of_l2, operands.l2, sizes, expected_m, params)
  y, _ = returned(out, None, plan)
  return MegaMoeResults(y, sizes, hidden)
