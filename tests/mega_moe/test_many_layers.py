"""Random layers on CPUs: what GPUs compare is compared here, of fewer."""

import jax
import numpy as np

from tests.mega_moe import many_checks, many_layers
from tests.mega_moe.layers import BF16, FP4, FP8
from tests.mega_moe.many_layers import ManyLayer

RANKS = 2
LAYERS = [
  ManyLayer(5, 2, 2, 128, 128, room=3, num_shared=1, clamp=0.5),
  ManyLayer(8, 1, 1, 256, 128, mma_type=FP4, fast_math=False),
]


def test_random_calls_have_the_bits_of_one_rank():
  mesh = many_checks.mesh_of(jax.devices()[:RANKS])
  for layer in LAYERS:
    many_checks.check_beside_one_rank(
      layer, mesh, jax.devices()[-1], range(6), "auto"
    )


def test_random_calls_have_the_bits_of_the_steps():
  mesh = many_checks.mesh_of(jax.devices()[:RANKS])
  many_checks.check_beside_steps(LAYERS[0], mesh, range(3), "auto")


def test_a_loop_counts_what_is_wrong():
  layer = LAYERS[0]
  mesh = many_checks.mesh_of(jax.devices()[:RANKS])
  counts = np.array([[5, 5], [0, 4], [5, 0], [1, 1], [0, 2]], np.int32)

  def spoil(expected):
    # An element of rank 0 that calls 0 and 4 compute, and call 4 leaves out.
    expected[0, 0, 7] = -1000

  def errors(spoil):
    return many_checks.errors_of_a_loop(
      *(layer, mesh, counts, "auto"), num_calls=4, spoil=spoil
    )

  np.testing.assert_array_equal(errors(None), [0, 0])
  np.testing.assert_array_equal(errors(spoil), [1, 0])


def test_random_layers_have_every_option():
  layers = many_layers.random_layers(10, many_layers.LARGE, 1, seed=0)
  assert len(set(layers)) == 10
  for name, values in many_layers.LARGE._asdict().items():
    found = {getattr(layer, name) for layer in layers}
    assert found == set(values), name
  assert {layer.num_shared for layer in layers} == {0, 1}
  assert {layer.clamp for layer in layers} == {None, 0.5}
  assert {layer.fast_math for layer in layers} == {False, True}
  assert {layer.mma_type for layer in layers} == {FP4, FP8, BF16}


def test_random_calls_go_everywhere_and_nowhere():
  layer = LAYERS[0]
  calls = [many_layers.random_call(layer, RANKS, seed) for seed in range(30)]
  counts = np.stack([call.counts for call in calls])
  assert set(counts.ravel()) == set(range(layer.tokens + 1))
  assert np.any(counts[:, 0] != counts[:, 1])
  experts = layer.experts * RANKS
  chosen = np.stack([call.topk_idx for call in calls])
  assert {-1, experts, 2**31 - 1, *range(experts)} <= set(chosen.ravel())
  is_live = np.stack([many_layers.is_counted(layer, c) for c in counts])
  is_nan = np.isnan(np.stack([call.topk_weights for call in calls]))
  assert np.all(is_nan == ~is_live[..., None])
