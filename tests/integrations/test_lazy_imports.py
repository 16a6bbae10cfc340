"""Libraries of integrations are imported by their integration alone."""

import subprocess
import sys

import pytest

from jax_deepgemm.integrations.requirement import require

_LIBRARIES = ("flax", "qwix", "maxtext")


def _run(code):
  done = subprocess.run(
    [sys.executable, "-c", code], capture_output=True, check=True, text=True
  )
  return done.stdout


def test_importing_the_package_imports_none_of_them():
  code = (
    "import sys, jax_deepgemm, jax_deepgemm.integrations as i;"
    f"print([x for x in {_LIBRARIES} if x in sys.modules]);"
    "import jax_deepgemm.integrations.maxtext;"
    f"print([x for x in {_LIBRARIES} if x in sys.modules])"
  )
  assert _run(code).split("\n")[:2] == ["[]", "[]"]


def test_a_missing_library_is_named_with_what_brings_it():
  message = r"missing_library is not installed.*do this"
  with pytest.raises(ImportError, match=message):
    require("missing_library.part", "do this")


def test_what_a_library_misses_itself_is_passed_on(monkeypatch, tmp_path):
  (tmp_path / "broken_library.py").write_text("import something_else_missing")
  monkeypatch.syspath_prepend(tmp_path)
  with pytest.raises(ModuleNotFoundError, match="something_else_missing"):
    require("broken_library", "do this")
