"""Directories that cannot be written. The tests may run as root, to whom no
permission is denied, so the system calls are made to fail instead."""

import dataclasses
import errno
import os
import warnings

import pytest

from jax_deepgemm.jit import KernelLibrary
from jax_deepgemm.jit.cache import DiskCache

CUBIN = b"machine code"


@pytest.fixture
def directory(tmp_path) -> str:
  return str(tmp_path / "cache")


def _fail(monkeypatch, function, code, only_in):
  """Makes os.<function> fail for paths below `only_in`."""
  works = getattr(os, function)

  def fails(path, *args, **kwargs):
    if str(path).startswith(only_in):
      raise OSError(code, os.strerror(code), path)
    return works(path, *args, **kwargs)

  monkeypatch.setattr(os, function, fails)


@pytest.mark.parametrize(
  ("function", "code"),
  [
    ("open", errno.EROFS),
    ("open", errno.EACCES),
    ("open", errno.ENOSPC),
    ("makedirs", errno.EROFS),
    ("replace", errno.ENOSPC),
    ("replace", errno.EROFS),
  ],
)
def test_a_failing_default_directory_warns_once(
  function, code, directory, monkeypatch
):
  _fail(monkeypatch, function, code, directory)
  cache = DiskCache(directory)
  with pytest.warns(UserWarning, match=os.strerror(code)) as caught:
    cache.store("one", CUBIN)
  text = str(caught.pop().message)
  assert directory in text
  assert "DG_JIT_CACHE_DIR" in text
  assert len(caught) == 0
  with warnings.catch_warnings(action="error"):
    cache.store("two", CUBIN)
  assert cache.load("one") is None


def test_a_disk_that_fills_up_leaves_no_temporary_file(directory, monkeypatch):
  cache = DiskCache(directory)
  cache.open()

  def full(descriptor):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

  monkeypatch.setattr(os, "fsync", full)
  with pytest.warns(UserWarning, match="No space left"):
    cache.store("one", CUBIN)
  assert os.listdir(directory) == []


def test_a_rename_that_fails_leaves_no_temporary_file(directory, monkeypatch):
  _fail(monkeypatch, "replace", errno.ENOSPC, directory)
  with pytest.warns(UserWarning, match="No space left"):
    DiskCache(directory).store("one", CUBIN)
  assert os.listdir(directory) == []


def test_a_read_only_directory_is_still_read(directory, monkeypatch):
  DiskCache(directory).store("one", CUBIN)
  _fail(monkeypatch, "open", errno.EROFS, directory)
  with pytest.warns(UserWarning, match="Read-only"):
    assert DiskCache(directory).load("one") == CUBIN


def test_a_path_that_is_a_file_warns(tmp_path):
  path = tmp_path / "file"
  path.write_text("mine")
  cache = DiskCache(str(path))
  with pytest.warns(UserWarning, match="File exists"):
    cache.store("one", CUBIN)
  assert cache.load("one") is None
  assert path.read_text() == "mine"


@pytest.mark.parametrize(
  "directory", ["", "~/.jax_deepgemm", "work/~/.jax_deepgemm"]
)
def test_without_a_home_directory_nothing_is_written(
  directory, tmp_path, monkeypatch
):
  monkeypatch.chdir(tmp_path)
  with pytest.warns(UserWarning, match="no home directory"):
    DiskCache(directory).store("one", CUBIN)
  assert list(tmp_path.iterdir()) == []


def test_an_unreadable_entry_is_a_miss_and_is_logged(directory, caplog):
  cache = DiskCache(directory)
  os.makedirs(cache.path("one"))
  assert cache.load("one") is None
  assert "cannot read" in caplog.text


def test_a_library_goes_on_in_memory(settings, make_recipe, monkeypatch):
  _fail(monkeypatch, "open", errno.EROFS, settings.cache_dir)
  with pytest.warns(UserWarning, match="Read-only"):
    library = KernelLibrary(settings)
  with warnings.catch_warnings(action="error"):
    library.prefetch(make_recipe())
    assert library.resolve(make_recipe()).startswith(b"\x7fELF")


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES, errno.ENOSPC])
def test_an_explicit_directory_that_fails_is_an_error(
  code, settings, make_recipe, monkeypatch
):
  _fail(monkeypatch, "open", code, settings.cache_dir)
  explicit = dataclasses.replace(settings, cache_dir_is_explicit=True)
  library = KernelLibrary(explicit)
  for use in (library.prefetch, library.resolve):
    with pytest.raises(OSError, match=r"DG_JIT_CACHE_DIR='.*cache'") as caught:
      use(make_recipe())
    assert caught.value.errno == code


def test_an_explicit_empty_directory_is_an_error():
  with pytest.raises(ValueError, match="DG_JIT_CACHE_DIR=''"):
    DiskCache("", is_explicit=True).open()


def test_an_explicit_directory_that_fills_up_later_only_warns(
  directory, monkeypatch
):
  cache = DiskCache(directory, is_explicit=True)
  cache.open()
  _fail(monkeypatch, "open", errno.ENOSPC, directory)
  with pytest.warns(UserWarning, match="No space left"):
    cache.store("one", CUBIN)
