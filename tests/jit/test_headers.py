"""The headers as package data and their fingerprint."""

import importlib.resources
import re

import pytest

from jax_deepgemm.jit import Recipe, headers, source


def test_headers_are_keyed_by_their_path_below_cuda():
  root = importlib.resources.files("jax_deepgemm").joinpath("cuda")
  for name, text in headers.__wrapped__().items():
    assert name.endswith(".cuh")
    assert not name.startswith(("/", "cuda/"))
    assert root.joinpath(name).read_text(encoding="utf-8") == text


def test_headers_of_all_folders_and_nothing_else_are_found(
  tmp_path, monkeypatch
):
  for name in ("kernels/k.cuh", "ptx/p.cuh", "top.cuh", "ptx/notes.md"):
    path = tmp_path / "cuda" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"// {name}")
  monkeypatch.setattr(importlib.resources, "files", lambda _: tmp_path)
  assert headers.__wrapped__() == {
    "kernels/k.cuh": "// kernels/k.cuh",
    "ptx/p.cuh": "// ptx/p.cuh",
    "top.cuh": "// top.cuh",
  }


def test_headers_are_read_once():
  assert headers() is headers()


def test_the_fingerprint_is_the_same_in_another_process(python):
  script = "from jax_deepgemm.jit import *; print(headers_fingerprint())"
  processes = [python(script), python(script)]
  results = [process.communicate() for process in processes]
  assert results[0] == results[1]
  assert re.fullmatch("[0-9a-f]{64}\n", results[0][0]), results


@pytest.mark.parametrize(
  ("texts", "version"),
  [
    ({"a": "x", "b": "y"}, "2"),
    ({"a": "x", "b": "z"}, "1"),
    ({"a": "x", "c": "y"}, "1"),
    ({"a": "xb", "": "y"}, "1"),
    ({"a": "x"}, "1"),
  ],
)
def test_any_change_of_headers_or_version_changes_the_fingerprint(
  texts, version
):
  reference = source.fingerprint_of({"a": "x", "b": "y"}, "1")
  assert source.fingerprint_of({"b": "y", "a": "x"}, "1") == reference
  assert source.fingerprint_of(texts, version) != reference


@pytest.mark.parametrize(
  ("kernel", "arch"),
  [("../../evil", "sm_90a"), ("1st", "sm_90a"), ("k", "compute_90")],
)
def test_a_recipe_names_a_c_function_and_a_real_architecture(kernel, arch):
  with pytest.raises(ValueError, match="must"):
    Recipe(kernel, "", arch)
