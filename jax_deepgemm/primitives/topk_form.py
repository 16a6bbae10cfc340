"""What is asked for of the largest MQA logits."""

import dataclasses

import numpy as np

from jax_deepgemm.primitives.mqa_form import MqaForm

_FLOAT32 = np.dtype(np.float32)


@dataclasses.dataclass(frozen=True)
class TopkForm:
  """A static parameter of the primitive.

  Attributes:
    k: how many keys are wanted of each row, at most `width`.
    max_seqlen_k: the most keys of a row, or 0 for all that there are.
  """

  k: int
  max_seqlen_k: int

  def width(self, num_keys: int) -> int:
    """Returns the most keys that a row can have."""
    return min(self.max_seqlen_k or num_keys, num_keys)

  def logits(self, num_keys: int, multiple: int = 1) -> MqaForm:
    """Returns the form of the logits that the largest are taken of.

    Args:
      num_keys: how many keys there are.
      multiple: of columns, at least as many as a row has keys.
    """
    width = -(-self.width(num_keys) // multiple) * multiple
    return MqaForm(_FLOAT32, clean_logits=True, max_seqlen_k=width)
