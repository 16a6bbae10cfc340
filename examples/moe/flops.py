"""How many operations a token costs."""

from moe.config import ModelConfig


def num_parameters(config: ModelConfig, experts_per_token: int) -> int:
  """Returns the weights of matrices when this many experts are counted.

  Args:
    config: the model.
    experts_per_token: `config.num_experts` for those that are stored,
      `config.top_k` for those that a token meets.
  """
  attention = 4 * config.d_model**2
  experts = 3 * config.d_model * config.expert_hidden * experts_per_token
  router = config.d_model * config.num_experts
  ends = 2 * config.vocabulary * config.d_model
  return config.num_layers * (attention + experts + router) + ends


def flops_per_token(config: ModelConfig, sequence_length: int) -> int:
  """Returns the operations of a training step for one token.

  A product with a weight is a multiplication and an addition forward and twice
  that backward. The embedding is a look-up and counts nothing. Causal attention
  meets half of the sequence, with two products of a head's width for each pair.
  """
  embedding = config.vocabulary * config.d_model
  weights = num_parameters(config, config.top_k) - embedding
  pairs = 2 * config.d_model * config.num_layers * sequence_length // 2
  return 6 * (weights + pairs)
