"""Memory that the devices of a group of experts share, for `--moe mega`."""

from typing import Any

import jax
from jax.sharding import Mesh

import jax_deepgemm
from moe import precision
from moe.config import Preset
from moe.errors import UsageError
from moe.mesh import EXPERT

# What the rest of the example calls it.
Buffer = jax_deepgemm.SymmBuffer

# A process may write a checkpoint or compile while another one waits.
_TIMEOUT_S = 300.0


def make(
  preset: Preset, mesh: Mesh, compute_dtype: jax.typing.DTypeLike
) -> Buffer:
  """Returns the buffer that all layers use, one after the other.

  It holds nothing from one step to the next, so no checkpoint has it. Every
  process makes it, outside of `jit`, and destroys it.

  Args:
    preset: the model and its training.
    mesh: where the experts are.
    compute_dtype: of the experts.

  Raises:
    UsageError: the sizes, the mesh or its devices cannot have one.
  """
  model, train = preset.model, preset.train
  try:
    return jax_deepgemm.get_symm_buffer_for_mega_moe(
      mesh,
      EXPERT,
      num_experts=model.num_experts,
      num_max_tokens_per_rank=(
        train.batch_size // mesh.size * train.sequence_length
      ),
      num_topk=model.top_k,
      hidden=model.d_model,
      intermediate_hidden=model.expert_hidden,
      mma_type=precision.mma_type(compute_dtype),
      timeout_s=_TIMEOUT_S,
    )
  except (ValueError, NotImplementedError, MemoryError) as error:
    raise UsageError(
      f"this preset on this mesh cannot have --moe mega: {error}; --moe steps"
      " can"
    ) from error


def check(buffer: Buffer | None, results: Any) -> None:
  """Waits for results and raises RuntimeError if they are no results.

  A device that has waited for another in vain fills them with NaN, and the next
  call would raise.

  Args:
    buffer: that they were computed with, or None.
    results: arrays.
  """
  if buffer is not None:
    jax.block_until_ready(results)
    buffer.check_status()
