"""Sizes of the model and of its training, and the presets of both."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class ModelConfig:
  """Sizes of the model.

  Attributes:
    d_model: width of the residual stream.
    num_layers: blocks of attention and an MLP.
    num_heads: heads of attention, which share one key and one value.
    head_dim: width of a head, of the key and of the value.
    index_heads: heads of the indexer: 8, 16, 32 or 64.
    index_dim: width of the indexer's heads and keys: 32, 64 or 128.
    num_chosen: keys that a token attends to, at most.
    mlp_hidden: width inside an MLP.
    page: tokens of a page of what decoding keeps, 32 or 64.
    vocabulary: 256, a token is a byte.
    rotary_base: wavelengths of the rotary embedding go up to 2 pi times this.
  """

  d_model: int
  num_layers: int
  num_heads: int
  head_dim: int
  index_heads: int
  index_dim: int
  num_chosen: int
  mlp_hidden: int
  page: int = 64
  vocabulary: int = 256
  rotary_base: float = 10000.0


@dataclasses.dataclass(frozen=True)
class TrainConfig:
  """Sizes of a step, and what is minimised.

  Attributes:
    batch_size: sequences of a step.
    sequence_length: bytes of a sequence that are predicted.
    num_steps: steps of the whole run.
    learning_rate: of AdamW, after a warm-up and before a cosine.
    index_weight: of the indexer's loss.
  """

  batch_size: int
  sequence_length: int
  num_steps: int
  learning_rate: float
  index_weight: float = 1.0


@dataclasses.dataclass(frozen=True)
class Preset:
  """A model with its training."""

  model: ModelConfig
  train: TrainConfig


PRESETS = {
  # For tests: compiled and run in seconds.
  "micro": Preset(
    ModelConfig(
      d_model=32,
      num_layers=2,
      num_heads=2,
      head_dim=16,
      index_heads=8,
      index_dim=32,
      num_chosen=12,
      mlp_hidden=64,
      page=32,
    ),
    TrainConfig(
      batch_size=4, sequence_length=48, num_steps=30, learning_rate=1e-2
    ),
  ),
  # For a laptop: some minutes on its CPU.
  "tiny": Preset(
    ModelConfig(
      d_model=128,
      num_layers=2,
      num_heads=4,
      head_dim=64,
      index_heads=8,
      index_dim=32,
      num_chosen=32,
      mlp_hidden=512,
    ),
    TrainConfig(
      batch_size=4, sequence_length=256, num_steps=300, learning_rate=3e-3
    ),
  ),
  # For a Hopper GPU: 16384 tokens that look at 512 of up to 4096 keys.
  "h200": Preset(
    ModelConfig(
      d_model=1024,
      num_layers=8,
      num_heads=16,
      head_dim=128,
      index_heads=32,
      index_dim=128,
      num_chosen=512,
      mlp_hidden=4096,
    ),
    TrainConfig(
      batch_size=4, sequence_length=4096, num_steps=1000, learning_rate=6e-4
    ),
  ),
}
