"""docs/options.md lists every option and every variable."""

import dataclasses
import inspect
import re

import jax_deepgemm
from jax_deepgemm import environment
from tests.docs import pages

_PAGE = pages.ROOT / "docs" / "options.md"


def _listed():
  cells = pages.first_column(_PAGE)
  return {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}


def test_every_option_is_listed_with_its_default():
  rows = _PAGE.read_text("utf-8").splitlines()
  for field in dataclasses.fields(jax_deepgemm.Options):
    (row,) = [row for row in rows if row.startswith(f"| `{field.name}` |")]
    default = row.split("|")[2].strip()
    assert default in (repr(field.default), f'"{field.default}"', "all")


def test_every_setter_is_listed():
  text = _PAGE.read_text("utf-8")
  setters = [name for name in dir(jax_deepgemm) if name.startswith("set_")]
  assert len(setters) == 6
  assert all(f"`{name}`" in text for name in setters)


def test_every_variable_that_is_read_is_listed_as_such():
  source = inspect.getsource(environment)
  code = source.split('"""', 2)[2]
  read = set(re.findall(r'"(DG_\w+|CUDA_\w+|PATH)"', code))
  assert len(read) > 15
  rows = _PAGE.read_text("utf-8").splitlines()
  for name in read:
    (row,) = [row for row in rows if re.match(rf"\| [^|]*`{name}`", row)]
    assert row.split("|")[2].split(",")[0].strip() in ("yes", "not yet")


def test_nothing_else_is_listed_as_honoured():
  rows = _PAGE.read_text("utf-8").splitlines()
  honoured = [row for row in rows if re.match(r"\| `.* \| yes", row)]
  source = inspect.getsource(environment)
  for row in honoured:
    for name in re.findall(r"`(\w+)`", row.split("|")[1]):
      assert f'"{name}"' in source


def test_variables_of_deepgemm_without_counterpart_are_listed():
  described = set(re.findall(r"`(DG_\w+)`", environment.__doc__))
  assert described <= _listed()
