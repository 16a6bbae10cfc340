"""docs/api.md is what the docstrings say."""

import importlib.util
import shutil

import pytest

import jax_deepgemm
from tests.docs import pages

_SCRIPT = pages.ROOT / "docs" / "generate_api.py"


@pytest.fixture(scope="module")
def generate_api():
  """Returns the script as a module."""
  spec = importlib.util.spec_from_file_location("generate_api", _SCRIPT)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


def test_the_page_is_current(generate_api):
  assert generate_api.main(["--check"]) == 0, "run python docs/generate_api.py"


def test_every_public_name_has_an_entry_with_a_docstring(generate_api):
  text = generate_api.page(pages.ROOT)
  modules = ("testing", "primitives", "jit", "ffi", "cli", "heuristics")
  public = [
    name
    for name, value in vars(jax_deepgemm).items()
    if name[0] != "_" and (callable(value) or name.isupper())
  ]
  assert len(public) > 20
  for name in public:
    assert name not in modules
    entry = text.split(f"\n#### {name}\n")
    assert len(entry) == 2, name
    body = entry[1].split("\n#### ")[0]
    assert "```text" in body
    assert len(body.split("```")[2]) > 20 or name.isupper(), name


def test_a_changed_docstring_makes_the_page_stale(
  generate_api, tmp_path, capsys
):
  copy = tmp_path / "jax_deepgemm"
  ignored = shutil.ignore_patterns("*.so", "__pycache__")
  shutil.copytree(pages.ROOT / "jax_deepgemm", copy, ignore=ignored)
  (tmp_path / "docs").mkdir()
  arguments = ["--root", str(tmp_path)]
  assert generate_api.main([*arguments, "--check"]) == 1
  assert generate_api.main(arguments) == 0
  assert generate_api.main([*arguments, "--check"]) == 0
  source = copy / "alignment.py"
  source.write_text(source.read_text().replace("Returns ceil", "Returns CEIL"))
  assert generate_api.main([*arguments, "--check"]) == 1
  assert "not current" in capsys.readouterr().out
