"""Results as the benchmarks write them."""

import pytest

from benchmarks import results
from jax_deepgemm.testing import Samples


@pytest.fixture
def document():
  """Returns a document with times of three of the real cases."""
  fields = {
    "commit": "0123456789abcdef",
    "gpu": "NVIDIA H200",
    "driver": "580.159",
    "compiler": "nvrtc 13.0 (1 bytes)",
    "jax": "0.10.2",
    "date": "2030-01-02T03:04:05+00:00",
    "method": "kernel time",
  }
  rows = [
    results.row((1, 2112, 7168), Samples((7.0, 7.05, 7.1)), {"block_n": 16}),
    results.row((128, 2112, 7168), Samples((10.9,)), None),
    results.row((4096, 4096, 7168), Samples((200.0, 210.0, 190.0)), None),
  ]
  return fields, rows


@pytest.fixture
def results_file(document, tmp_path):
  """Returns the path of that document."""
  path = tmp_path / "results" / "dense_fp8.json"
  results.write(path, *document)
  return path
