"""Random layers of experts, random calls of them, and their weights."""

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np

import jax_deepgemm as jd
from tests.mega_moe.layers import (
  BF16,
  FP4,
  FP8,
  cast_to_fp4,
)

_CASTS = {
  FP8: jd.per_block_cast_to_fp8,
  FP4: cast_to_fp4,
  BF16: lambda w: w,
}
_SKEWS = ("uniform", "zipf", "one")


class Sets(NamedTuple):
  """What sizes of random layers are taken from; few, as each is compiled."""

  tokens: tuple[int, ...]
  experts: tuple[int, ...]
  top_k: tuple[int, ...]
  hidden: tuple[int, ...]
  intermediate: tuple[int, ...]


LARGE = Sets((48, 128), (2, 8, 32), (1, 2, 6), (512, 1024), (256, 512))
SMALL = Sets((5, 8), (1, 2, 3), (1, 2, 4), (128, 256), (128,))


@dataclasses.dataclass(frozen=True)
class ManyLayer:
  """What is compiled; tokens and experts are those of a rank."""

  tokens: int
  experts: int
  top_k: int
  hidden: int
  intermediate: int
  room: int = 0  # Tokens that the buffer has more room for.
  num_shared: int = 0
  clamp: float | None = None
  fast_math: bool = True
  mma_type: str = FP8

  def id(self):
    sizes = dataclasses.astuple(self)[:5]
    flags = ["x".join(map(str, sizes)), f"shared={self.num_shared}"]
    flags += [] if self.clamp is None else [f"clamp={self.clamp}"]
    flags += [] if self.fast_math else ["exact"]
    return "-".join([*flags, self.mma_type])


class Call(NamedTuple):
  """Operands of all ranks; what does not count is NaN, or a random choice."""

  x: jd.ScaledArray | np.ndarray
  topk_idx: np.ndarray
  topk_weights: np.ndarray
  counts: np.ndarray


def random_layers(count, sets, ranks, seed):
  """Returns layers whose sizes are taken from the sets."""
  random = np.random.default_rng(seed)

  def one_of(values):
    return values[random.integers(len(values))]

  def layer(i):
    sizes = ManyLayer(*map(one_of, sets))
    return dataclasses.replace(
      sizes,
      top_k=min(sizes.top_k, sizes.experts * ranks),
      room=one_of((0, 5)),
      # Both, whatever the seed.
      num_shared=i % 2,
      clamp=one_of((None, 0.5)),
      fast_math=one_of((True, True, False)),
      mma_type=one_of((FP8, BF16, FP4)),
    )

  return [layer(i) for i in range(count)]


def random_call(layer, ranks, seed, counts=None):
  """Returns a call: how many tokens, of which values, to which experts.

  Args:
    layer: for sizes.
    ranks: that it is split over.
    seed: of everything.
    counts: `[ranks]`, how many tokens count; random unless given.
  """
  random = np.random.default_rng(seed)
  tokens, experts = layer.tokens * ranks, layer.experts * ranks
  if counts is None:
    # Often all, and sometimes none.
    counts = random.integers(-layer.tokens // 8, layer.tokens * 5 // 4, ranks)
    counts = np.clip(counts, 0, layer.tokens).astype(np.int32)
  x = random.standard_normal((tokens, layer.hidden), np.float32)
  x *= np.exp2(random.integers(-2, 3, (tokens, 1)))
  is_live = is_counted(layer, counts)[:, None]
  x = np.where(is_live, x, np.nan).astype(ml_dtypes.bfloat16)
  idx = _choices(random, tokens, experts, layer.top_k)
  missing = random.random(idx.shape) < random.choice([0, 0.1, 0.5])
  idx[missing] = random.choice([-1, experts, experts + 1, 2**31 - 1])
  weights = random.standard_normal(idx.shape).astype(np.float32)
  weights = np.where(is_live, weights, np.float32(np.nan))
  if layer.mma_type != BF16:
    x = _cast_tokens(x)
  return Call(x, idx, weights, counts)


def is_counted(layer, counts):
  """Returns which of all ranks' tokens count."""
  place = np.arange(layer.tokens * len(counts)) % layer.tokens
  return place < np.repeat(counts, layer.tokens)


def _choices(random, tokens, experts, top_k):
  skew = random.choice(_SKEWS)
  if skew == "one":
    idx = np.full((tokens, top_k), -1, np.int32)
    idx[:, random.integers(top_k)] = random.integers(experts)
    return idx
  # The largest of these are choices without replacement.
  scores = random.gumbel(size=(tokens, experts))
  if skew == "zipf":
    scores -= 1.5 * np.log1p(random.permutation(experts))
  return np.argsort(-scores, axis=1)[:, :top_k].astype(np.int32)


@functools.lru_cache(maxsize=1)
def weights_of(layer, ranks, seed=0):
  """Returns weights of the experts of all ranks, and shared ones, as read."""
  keys = jax.random.split(jax.random.key(seed), 4)
  routed, shared = layer.experts * ranks, layer.num_shared

  def weight(key, experts, n, k):
    w = jax.random.normal(key, (experts, n, k), jnp.bfloat16)
    w = jax.jit(_CASTS[layer.mma_type])(w / jnp.sqrt(jnp.bfloat16(k)))
    return jax.tree.map(np.asarray, w)

  shapes = (
    (2 * layer.intermediate, layer.hidden),
    (layer.hidden, layer.intermediate),
  )
  of_routed = [weight(keys[i], routed, *shapes[i]) for i in range(2)]
  of_shared = [weight(keys[2 + i], shared, *shapes[i]) for i in range(2)]
  return of_routed, of_shared


def joined(of_routed, of_shared, ranks):
  """Returns the weights of all ranks, each with the shared ones behind."""

  def join(routed, shared):
    of_ranks = routed.reshape(ranks, -1, *routed.shape[1:])
    copies = np.broadcast_to(shared, (ranks, *shared.shape))
    both = np.concatenate([of_ranks, copies], axis=1)
    return both.reshape(-1, *routed.shape[1:])

  return jax.tree.map(join, of_routed, of_shared)


@jax.jit
def _cast_tokens(x):
  return jd.per_token_cast_to_fp8(x)
