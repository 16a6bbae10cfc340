"""The text, and batches of it."""

import jax
import numpy as np
import pytest

from moe import batches, corpus, mesh
from moe.errors import UsageError

_TEXT = np.random.default_rng(0).integers(0, 256, 10_000).astype(np.uint8)
_SHAPE = (8, 33)


def _write(root, name, text):
  path = root / name
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_bytes(text)


def test_a_batch_is_a_function_of_seed_and_step():
  def batch(seed, step):
    return batches.sequences(_TEXT, _SHAPE, seed, step, slice(None))

  assert batch(0, 5).shape == _SHAPE
  np.testing.assert_array_equal(batch(0, 5), batch(0, 5))
  assert (batch(0, 5) != batch(0, 6)).any()
  assert (batch(0, 5) != batch(1, 5)).any()


def test_a_batch_is_pieces_of_the_text():
  first = batches.starts(len(_TEXT), _SHAPE, 0, 3)
  rows = batches.sequences(_TEXT, _SHAPE, 0, 3, slice(2, 4))
  for start, row in zip(first[2:4], rows, strict=True):
    np.testing.assert_array_equal(row, _TEXT[start : start + 33])


def test_the_last_place_to_begin_is_used_and_none_after_it():
  shape = (1000, 9_999)
  assert set(batches.starts(len(_TEXT), shape, 0, 0)) == {0, 1}
  with pytest.raises(UsageError, match="10001 bytes, but the text has 10000"):
    batches.starts(len(_TEXT), (8, 10_001), 0, 0)


def test_each_device_has_its_rows_of_the_same_batch():
  grid = mesh.make(mesh.MeshShape(data=2, expert=2))
  array = batches.batch(_TEXT, _SHAPE, 0, 3, grid)
  whole = batches.sequences(_TEXT, _SHAPE, 0, 3, slice(None))
  assert array.dtype == np.uint8
  np.testing.assert_array_equal(jax.device_get(array), whole)
  assert {s.data.shape for s in array.addressable_shards} == {(2, 33)}


def test_only_installed_packages_and_tests_are_left_out(tmp_path):
  kept = ["b.py", "a/x.py", "a/testing.py", "a.py"]
  skipped = ["site-packages/p.py", "a/test/t.py", "tests/t.py", "a/data.txt"]
  for name in kept + skipped:
    _write(tmp_path, name, name.encode())
  assert corpus.names(tmp_path) == ["a.py", "a/testing.py", "a/x.py", "b.py"]


def test_a_file_is_on_one_side_and_the_digest_tells_texts_apart(tmp_path):
  names = [f"m{i}.py" for i in range(200)]
  sides = [corpus.is_validation(name) for name in names]
  assert 2 <= sum(sides) <= 25
  for name in names:
    _write(tmp_path, name, name.encode())
  text = corpus.read(tmp_path)
  both = {False: text.train, True: text.validation}
  for name, side in zip(names, sides, strict=True):
    assert name.encode() in both[side].tobytes()
    assert name.encode() not in both[not side].tobytes()
  _write(tmp_path, "m0.py", b"changed")
  corpus.read.cache_clear()
  assert corpus.read(tmp_path).digest != text.digest


def test_the_library_of_this_machine_is_enough_to_train_on():
  text = corpus.read()
  assert len(text.train) > 5_000_000
  assert 0.02 < len(text.validation) / len(text.train) < 0.12
