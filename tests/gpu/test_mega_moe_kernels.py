"""Dispatch and combine on one rank, in an arena of the GPU's memory."""

import contextlib
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_deepgemm import ffi
from jax_deepgemm.heuristics import (
  sm90_mega_moe_combine as combine,
)
from jax_deepgemm.heuristics import (
  sm90_mega_moe_dispatch as dispatch,
)
from jax_deepgemm.heuristics.mega_moe_arena import MegaMoeArena
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import (
  launch,
  sm90_mega_moe_combine,
  sm90_mega_moe_dispatch,
)
from jax_deepgemm.primitives.target import process_device
from jax_deepgemm.symmetric_memory import header
from tests import mega_moe_data, stand_in_experts

driver = pytest.importorskip("cuda.bindings.driver")
pytestmark = pytest.mark.gpu

_HANDLE = 2**20
_TIMEOUT_NS = 500_000_000
_RESULTS = (
  "places",
  "group_sizes",
  "row_addresses",
  "cta_counts",
  "transposed_scales",
  "sums",
)


def _check(result):
  error, *values = result
  assert error == driver.CUresult.CUDA_SUCCESS, error
  return values[0] if values else None


def _write(address, data):
  data = np.ascontiguousarray(data)
  _check(driver.cuMemcpyHtoD(address, data.ctypes.data, data.nbytes))


@contextlib.contextmanager
def _memory(arena, num_ranks=1):
  """Yields the address of a rank's arena, registered under `_HANDLE`.

  Only the header and the flags are defined; the others' arenas are this one's.
  """
  jnp.zeros(1).block_until_ready()  # JAX has made the context.
  device = _check(driver.cuDeviceGet(0))
  context = _check(driver.cuDevicePrimaryCtxRetain(device))
  _check(driver.cuCtxSetCurrent(context))
  address = int(_check(driver.cuMemAlloc(arena.num_bytes)))
  data = np.full(arena.num_bytes, 0xFF, np.uint8)
  start = header.pack(0, [address] * num_ranks, _TIMEOUT_NS, 0)
  data[: len(start)] = np.frombuffer(start, np.uint8)
  data[arena.flags_offset :][: arena.part_bytes("flags")] = 0
  _write(address, data)
  ffi.register_arena(_HANDLE, 0, address)
  try:
    yield address
  finally:
    jax.effects_barrier()
    ffi.unregister_arena(_HANDLE)
    _check(driver.cuMemFree(address))
    _check(driver.cuDevicePrimaryCtxRelease(device))


@functools.partial(jax.jit, static_argnames=("arena", "options"))
def _layer(operands, token, *, arena, options):
  """Returns results by name; `token` orders calls on the arena."""
  device = process_device()
  rows, scales, *_ = operands
  problem = dispatch.MegaMoeDispatchProblem(len(rows), arena)
  shapes = sm90_mega_moe_dispatch.results(problem, device, options)
  shapes["sums"] = jax.ShapeDtypeStruct(rows.shape, jnp.bfloat16)
  names = [name for name in _RESULTS if name in shapes]
  given = [x for x in operands if x is not None]
  index = {name: len(given) + 1 + i for i, name in enumerate(names)}
  buffers = iter(range(len(given)))
  at = launch.Buffer(len(given) + 1 + len(names))
  sent = sm90_mega_moe_dispatch.DispatchBuffers(
    rows=launch.Buffer(next(buffers)),
    scales=None if scales is None else launch.Buffer(next(buffers)),
    experts=launch.Buffer(next(buffers)),
    weights=launch.Buffer(next(buffers)),
    num_tokens=launch.Buffer(next(buffers)),
    arena=at,
    places=launch.Buffer(index["places"]),
    group_sizes=launch.Buffer(index["group_sizes"]),
    transposed_scales=(
      None if scales is None else launch.Buffer(index["transposed_scales"])
    ),
    row_addresses=launch.Buffer(index["row_addresses"]),
    cta_counts=launch.Buffer(index["cta_counts"]),
  )
  summed = combine.MegaMoeCombineProblem(len(rows), arena)
  calls = (
    sm90_mega_moe_dispatch.kernel_call(
      problem, dispatch.choose(problem, device), device, options, sent
    ),
    stand_in_experts.kernel_call(
      arena,
      at,
      sent.group_sizes,
      sent.row_addresses,
      sent.transposed_scales,
      num_ctas=64,
    ),
    sm90_mega_moe_combine.kernel_call(
      summed,
      combine.choose(summed),
      device,
      options,
      sm90_mega_moe_combine.CombineBuffers(
        sent.places,
        sent.num_tokens,
        at,
        launch.Buffer(index["sums"]),
      ),
    ),
  )
  found = launch.call(
    calls,
    (*given, token),
    [shapes[name] for name in names],
    arenas=(_HANDLE,),
  )
  return dict(zip(names, found, strict=True))


def _operands(given):
  """Returns what `_layer` takes; bytes stand for e4m3."""
  scales = None if given.scales is None else jnp.asarray(given.scales)
  return (
    jnp.asarray(given.rows),
    scales,
    jnp.asarray(given.experts),
    jnp.asarray(given.weights),
    jnp.asarray([given.num_tokens], jnp.int32),
  )


def _assert_right(arena, given, results):
  (expected,) = mega_moe_data.results(arena, [given])
  np.testing.assert_array_equal(results["places"], expected.places)
  np.testing.assert_array_equal(results["group_sizes"], expected.group_sizes)
  if expected.scales is not None:
    scales = np.asarray(results["transposed_scales"]).T
    np.testing.assert_array_equal(
      scales[: len(expected.scales)], expected.scales
    )
  sums = np.asarray(results["sums"]).view(np.uint16)
  np.testing.assert_array_equal(sums, expected.sums.view(np.uint16))


@pytest.mark.parametrize("pdl", [False, True])
@pytest.mark.parametrize(
  ("arena", "num_rows", "counts", "routing"),
  [
    (MegaMoeArena(1, 256, 300, 8, 7168, 128), 300, (300, 0, 171), "random"),
    (MegaMoeArena(1, 5, 4099, 2, 128, 128), 4099, (4098, 4099), "random"),
    (MegaMoeArena(1, 1024, 64, 32, 1408, 128), 40, (40, 3), "distinct"),
    (MegaMoeArena(1, 64, 900, 6, 512, 128), 900, (900, 899), "last"),
    (MegaMoeArena(1, 16, 9, 4, 384, 128), 9, (9, 9), "none"),
    (
      MegaMoeArena(1, 64, 500, 8, 2048, 128, "bf16xbf16"),
      500,
      (500, 77),
      "random",
    ),
  ],
  ids=lambda value: value if isinstance(value, str) else None,
)
def test_calls_on_one_arena_are_what_numpy_expects(
  arena, num_rows, counts, routing, pdl
):
  options = Options(pdl=pdl)
  with _memory(arena):
    token = jnp.zeros(1, jnp.int32)
    for call, count in enumerate(counts):
      given = mega_moe_data.operands(arena, num_rows, count, call, routing)
      results = _layer(_operands(given), token, arena=arena, options=options)
      _assert_right(arena, given, results)
      again = _layer(_operands(given), token, arena=arena, options=options)
      for name in ("places", "group_sizes", "sums"):
        np.testing.assert_array_equal(
          np.asarray(again[name]).view(np.uint8),
          np.asarray(results[name]).view(np.uint8),
        )


@pytest.mark.parametrize("num_sms", [1, 7, 132])
def test_any_number_of_ctas_gives_the_same(num_sms):
  arena = MegaMoeArena(1, 48, 1000, 6, 640, 128)
  given = mega_moe_data.operands(arena, 1000, 1000, 5)
  with _memory(arena):
    results = _layer(
      _operands(given),
      jnp.zeros(1, jnp.int32),
      arena=arena,
      options=Options(num_sms=num_sms),
    )
    _assert_right(arena, given, results)


def test_many_calls_follow_each_other():
  arena = MegaMoeArena(1, 32, 128, 4, 256, 128)
  options = Options()
  given = [
    mega_moe_data.operands(arena, 128, count, count)
    for count in (128, 5, 77, 0, 1)
  ]
  with _memory(arena):
    token = jnp.zeros(1, jnp.int32)
    found = []
    for call in range(100):
      operands = _operands(given[call % len(given)])
      found.append(_layer(operands, token, arena=arena, options=options))
      token = found[-1]["group_sizes"]
    for call, results in enumerate(found):
      _assert_right(arena, given[call % len(given)], results)


def test_a_rank_that_never_comes_ends_the_call_with_nan():
  """The second rank is not there: its flags in this arena stay zero."""
  arena = MegaMoeArena(2, 8, 16, 2, 256, 128)
  given = mega_moe_data.operands(arena, 16, 16, 0)
  # Rank 1's address is this arena's, too: what is sent there lands here.
  with _memory(arena, num_ranks=2) as address:
    results = _layer(
      _operands(given),
      jnp.zeros(1, jnp.int32),
      arena=arena,
      options=Options(),
    )
    np.testing.assert_array_equal(results["group_sizes"], 0)
    sums = np.asarray(results["sums"]).view(np.uint16)
    np.testing.assert_array_equal(sums, 0xFFFF)
    words = np.zeros(16, np.uint32)
    _check(driver.cuMemcpyDtoH(words.ctypes.data, address, words.nbytes))
    assert words[3] & 0xFF == 1
    # The header is ready for a call after a reset.
    assert words[8:10].tolist() == [1, 0]
