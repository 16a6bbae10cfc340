"""Every ptx/ wrapper compiles, without spills and serialised products."""

import concurrent.futures

from jax_deepgemm.jit import JitSettings
from jax_deepgemm.jit.compiler import compile_kernel
from tests.probes.catalogue import recipes


def test_every_probe_compiles_clean(tmp_path):
  settings = JitSettings(cache_dir=str(tmp_path), ptxas_check=True)
  with concurrent.futures.ThreadPoolExecutor(2) as pool:
    kernels = list(pool.map(lambda r: compile_kernel(r, settings), recipes()))
  logs = [kernel.log for kernel in kernels]
  assert [log for log in logs if "warning" in log.lower()] == []
