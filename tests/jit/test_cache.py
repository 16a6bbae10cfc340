"""The disk cache: keys, entries, damage."""

import dataclasses
import logging
import os

import pytest

from jax_deepgemm.jit import KernelLibrary, Recipe
from jax_deepgemm.jit.cache import DiskCache, entry_key

RECIPE = Recipe("k", "source", "sm_90a", "-O3", "headers")
KEY = entry_key(RECIPE, "nvrtc 13", ("-a", "-b"))
CUBIN = bytes(range(256)) * 16


@pytest.fixture
def cache(tmp_path):
  return DiskCache(str(tmp_path / "deep" / "cache"))


@pytest.fixture
def stored(cache):
  """A cache that holds CUBIN under KEY."""
  cache.store(KEY, CUBIN)
  assert cache.load(KEY) == CUBIN
  return cache


def test_what_was_stored_is_loaded_by_another_process(stored):
  assert DiskCache(stored.directory).load(KEY) == CUBIN
  assert DiskCache(stored.directory).load(KEY + "0") is None


def test_an_entry_is_a_file_that_nvidia_tools_read(stored):
  assert stored.path(KEY).endswith(".cubin")
  with open(stored.path(KEY), "rb") as file:
    assert file.read().startswith(CUBIN)


def test_nothing_but_the_entry_stays_on_disk(stored):
  assert os.listdir(stored.directory) == [f"{KEY}.cubin"]


@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(Recipe)])
def test_every_field_of_a_recipe_takes_part_in_the_key(field):
  value = "sm_100a" if field == "arch" else getattr(RECIPE, field) + "x"
  other = dataclasses.replace(RECIPE, **{field: value})
  assert entry_key(other, "nvrtc 13", ("-a", "-b")) != KEY


def test_compiler_and_options_take_part_in_the_key():
  assert entry_key(RECIPE, "nvrtc 12", ("-a", "-b")) != KEY
  assert entry_key(RECIPE, "nvrtc 13", ("-a",)) != KEY
  assert entry_key(RECIPE, "nvrtc 13", ("-a-b",)) != KEY
  assert entry_key(RECIPE, "nvrtc 13", ("-a", "-b")) == KEY


def test_a_long_kernel_name_still_makes_a_file_name(cache):
  key = entry_key(Recipe("k" * 400, "", "sm_90a"), "", ())
  cache.store(key, CUBIN)
  assert cache.load(key) == CUBIN


@pytest.mark.parametrize("length", [0, 1, 31, 32, 33, 2000, 4127])
def test_a_truncated_entry_is_deleted_and_logged(length, stored, caplog):
  os.truncate(stored.path(KEY), length)
  with caplog.at_level(logging.WARNING):
    assert stored.load(KEY) is None
  assert "is damaged" in caplog.text
  assert not os.path.exists(stored.path(KEY))


@pytest.mark.parametrize("position", [0, 2000, -1])
def test_a_flipped_byte_is_noticed(position, stored, caplog):
  with open(stored.path(KEY), "r+b") as file:
    file.seek(position, os.SEEK_END if position < 0 else os.SEEK_SET)
    byte = file.read(1)
    file.seek(-1, os.SEEK_CUR)
    file.write(bytes([byte[0] ^ 1]))
  assert stored.load(KEY) is None
  assert "is damaged" in caplog.text


def test_an_entry_under_the_wrong_name_is_damaged(stored):
  other = entry_key(RECIPE, "other compiler", ())
  os.rename(stored.path(KEY), stored.path(other))
  assert stored.load(other) is None


def test_a_library_compiles_a_damaged_entry_again(
  settings, make_recipe, monkeypatch
):
  good = KernelLibrary(settings).resolve(make_recipe())
  (name,) = os.listdir(settings.cache_dir)
  path = os.path.join(settings.cache_dir, name)
  os.truncate(path, 100)
  assert KernelLibrary(settings).resolve(make_recipe()) == good
  monkeypatch.setattr(
    "jax_deepgemm.jit.library.compile_kernel",
    lambda *_: pytest.fail("compiled again"),
  )
  assert KernelLibrary(settings).resolve(make_recipe()) == good


def test_an_upgrade_never_finds_the_entries_of_the_old_package(
  settings, make_recipe, monkeypatch
):
  def library(fingerprint):
    monkeypatch.setattr(
      "jax_deepgemm.jit.library.headers_fingerprint", lambda: fingerprint
    )
    return KernelLibrary(settings)

  library("old").resolve(make_recipe(fingerprint="old"))
  library("new").resolve(make_recipe(fingerprint="new"))
  assert len(os.listdir(settings.cache_dir)) == 2
