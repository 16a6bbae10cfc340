"""Sizes of the model and of its training, and the presets of both."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class ModelConfig:
  """Sizes of the model.

  Attributes:
    d_model: width of the residual stream.
    num_layers: blocks of attention and experts.
    num_heads: heads of attention; each is d_model / num_heads wide.
    num_experts: experts of a layer.
    top_k: experts that see a token.
    expert_hidden: width inside an expert.
    vocabulary: 256, a token is a byte.
    rotary_base: wavelengths of the rotary embedding go up to 2 pi times this.
    epsilon: added to the mean square in RMSNorm.
  """

  d_model: int
  num_layers: int
  num_heads: int
  num_experts: int
  expert_hidden: int
  top_k: int = 2
  vocabulary: int = 256
  rotary_base: float = 10000.0
  epsilon: float = 1e-6

  @property
  def head_dim(self) -> int:
    """Width of a head."""
    return self.d_model // self.num_heads


@dataclasses.dataclass(frozen=True)
class TrainConfig:
  """Sizes of a step, and the schedule.

  Attributes:
    batch_size: sequences of a step, over all devices.
    sequence_length: bytes of a sequence that are predicted.
    num_steps: steps of the whole run; the learning rate depends on it.
    warmup_steps: steps with a growing learning rate.
    learning_rate: after the warm-up; falls to a tenth along a cosine.
    weight_decay: of AdamW, for all but the norms.
    max_gradient_norm: longer gradients are scaled to it.
    balance_weight: of the loss that spreads tokens over the experts.
  """

  batch_size: int
  sequence_length: int
  num_steps: int
  warmup_steps: int
  learning_rate: float
  weight_decay: float = 0.1
  max_gradient_norm: float = 1.0
  balance_weight: float = 0.01


@dataclasses.dataclass(frozen=True)
class Preset:
  """A model with its training.

  Attributes:
    model: the model.
    train: its training.
    needs_hopper: too large for anything but a Hopper GPU.
  """

  model: ModelConfig
  train: TrainConfig
  needs_hopper: bool = False


PRESETS = {
  # For tests: compiled and run in seconds.
  "micro": Preset(
    ModelConfig(
      d_model=32, num_layers=2, num_heads=2, num_experts=8, expert_hidden=32
    ),
    TrainConfig(
      batch_size=8,
      sequence_length=32,
      num_steps=20,
      warmup_steps=2,
      learning_rate=1e-2,
    ),
  ),
  # For a laptop: two minutes on its CPU.
  "tiny": Preset(
    ModelConfig(
      d_model=128, num_layers=2, num_heads=4, num_experts=8, expert_hidden=128
    ),
    TrainConfig(
      batch_size=8,
      sequence_length=128,
      num_steps=300,
      warmup_steps=20,
      learning_rate=3e-3,
    ),
  ),
  # For any GPU: 51 million parameters, 17 million of which see a token.
  "small": Preset(
    ModelConfig(
      d_model=512, num_layers=6, num_heads=8, num_experts=8, expert_hidden=512
    ),
    TrainConfig(
      batch_size=32,
      sequence_length=512,
      num_steps=1000,
      warmup_steps=50,
      learning_rate=1e-3,
    ),
  ),
  # For an H200: 940 million parameters, 337 million of which see a token. A
  # step is 16384 tokens of 2.1 GFLOP, 35 TFLOP: 1000 steps take three minutes
  # at 190 TFLOP/s. An expert sees 4096 rows on average.
  "h200": Preset(
    ModelConfig(
      d_model=2048,
      num_layers=8,
      num_heads=16,
      num_experts=8,
      expert_hidden=2048,
    ),
    TrainConfig(
      batch_size=16,
      sequence_length=1024,
      num_steps=1000,
      warmup_steps=100,
      learning_rate=3e-4,
    ),
    needs_hopper=True,
  ),
}
