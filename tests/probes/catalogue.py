"""All probes by name: functions from a seed to a launch."""

import functools
from collections.abc import Callable

from jax_deepgemm.jit import Recipe
from tests.probes import (
  cluster,
  matrix,
  mbarrier,
  sync,
  system,
  tma,
  warp,
  wgmma,
)
from tests.probes.probe import Probe

PROBES: dict[str, Callable[[int], Probe]] = {
  **{
    f"wgmma_{dtype}_{values}": functools.partial(
      wgmma.wgmma_probe, dtype, values=values
    )
    for dtype in wgmma.DTYPES
    for values in ("integers", "normal")
  },
  "wgmma_tf32_low_bits": functools.partial(
    wgmma.wgmma_probe, "tf32", values="low_bits"
  ),
  "tma_load": tma.tma_load_probe,
  "tma_multicast": tma.tma_multicast_probe,
  "tma_store": tma.tma_store_probe,
  "tma_add": tma.tma_add_probe,
  "mbarrier": mbarrier.mbarrier_probe,
  "matrix": matrix.matrix_probe,
  "warp": warp.warp_probe,
  "cluster": cluster.cluster_probe,
  "sync": sync.sync_probe,
  "system": system.system_probe,
}


def recipes() -> list[Recipe]:
  """Returns the kernels of all probes, each once."""
  return list(dict.fromkeys(make(0).kernel.recipe for make in PROBES.values()))
