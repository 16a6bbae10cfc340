"""What one device runs for paged MQA logits: the kernel or jax.numpy."""

from jax_deepgemm.primitives import (
  paged_mqa_reference,
  sm90_fp8_fp4_paged_mqa_logits,
  sm90_fp8_paged_mqa_logits,
)
from jax_deepgemm.primitives.mqa_lowering import MqaLowering

FP8 = MqaLowering(
  "fp8_paged_mqa_logits",
  paged_mqa_reference.fp8_paged_mqa_logits,
  sm90_fp8_paged_mqa_logits.run,
)
FP4 = MqaLowering(
  "fp8_fp4_paged_mqa_logits",
  paged_mqa_reference.fp8_fp4_paged_mqa_logits,
  sm90_fp8_fp4_paged_mqa_logits.run,
)
