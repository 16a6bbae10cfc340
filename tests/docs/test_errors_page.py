"""docs/errors.md against the messages in the source, both ways."""

import ast
import functools
import re

import pytest

from tests.docs import pages

_PAGE = pages.ROOT / "docs" / "errors.md"
_PACKAGE = pages.ROOT / "jax_deepgemm"
_HOLE = "…"


@functools.cache
def _documented():
  """Returns the messages of the page without the exceptions' names."""
  messages = []
  for cell in pages.first_column(_PAGE):
    for text in re.findall(r"`([^`]+)`", cell):
      messages.append(re.sub(r"^\w+(Error|Warning): ", "", text))
  return messages


def _normal(text):
  return re.sub(r"\s+", " ", text).strip()


def _template(node, constants):
  """Returns a message with a hole for each value, or None."""
  if isinstance(node, ast.Constant) and isinstance(node.value, str):
    return _normal(node.value)
  if isinstance(node, ast.JoinedStr):
    parts = (
      part.value if isinstance(part, ast.Constant) else _HOLE
      for part in node.values
    )
    return _normal("".join(parts))
  if isinstance(node, ast.Call) and _name(node).endswith(".format"):
    return _template(node.func.value, constants)
  if isinstance(node, ast.Name) and node.id in constants:
    return _normal(re.sub(r"\{\w+\}", _HOLE, constants[node.id]))
  return None


def _name(call):
  return ast.unparse(call.func)


def _sources():
  for path in sorted(_PACKAGE.rglob("*.py")):
    tree = ast.parse(path.read_text("utf-8"))
    constants = {
      node.targets[0].id: node.value.value
      for node in tree.body
      if isinstance(node, ast.Assign)
      and isinstance(node.targets[0], ast.Name)
      and isinstance(node.value, ast.Constant)
      and isinstance(node.value.value, str)
    }
    yield path, tree, constants


def _raised():
  """Returns (where, template) of each message that the package raises."""
  found = []
  for path, tree, constants in _sources():
    for node in ast.walk(tree):
      call = node.exc if isinstance(node, ast.Raise) else node
      if not isinstance(call, ast.Call) or not call.args:
        continue
      is_error = isinstance(node, ast.Raise) and _name(call).endswith("Error")
      if not is_error and _name(call) != "warnings.warn":
        continue
      template = _template(call.args[0], constants)
      if template is not None:
        where = f"{path.relative_to(_PACKAGE)}:{node.lineno}"
        found.append(pytest.param(template, id=where))
  return found


def _all_strings():
  found = []
  for _, tree, constants in _sources():
    for node in ast.walk(tree):
      if isinstance(node, (ast.Constant, ast.JoinedStr)):
        template = _template(node, constants)
        if template:
          found.append(re.sub(r"\{\w+\}", _HOLE, template))
  return found


def _cxx():
  text = "".join(
    path.read_text("utf-8") for path in sorted(_PACKAGE.rglob("*.cc"))
  )
  return re.sub(r'"\s*\n\s*"', "", text)


# There are more than `re` keeps, and each is compared with all of the others.
@functools.cache
def _pattern(message):
  """Returns what matches `message` with something in each hole."""
  pieces = (re.escape(piece) for piece in message.split(_HOLE))
  return re.compile(".*".join(pieces))


def _covers(message, text):
  """Whether `text` is `message` with something in each hole."""
  return _pattern(message).fullmatch(text) is not None


def _agree(documented, template):
  return _covers(documented, template) or _covers(template, documented)


@pytest.mark.parametrize("template", _raised())
def test_what_is_raised_is_explained(template):
  # Holes alone would agree with anything.
  assert re.search(r"\w{4}", template.replace(_HOLE, ""))
  assert any(_agree(text, template) for text in _documented()), template


@pytest.mark.parametrize("documented", _documented())
def test_what_is_explained_can_be_raised(documented):
  if any(_agree(documented, text) for text in _STRINGS):
    return
  # Some messages are put together from pieces.
  pieces = [piece.strip() for piece in documented.split(_HOLE)]
  pieces = [piece for piece in pieces if re.search(r"\w{4}", piece)]
  assert pieces
  if all(any(piece in text for text in _STRINGS) for piece in pieces):
    return
  words = re.findall(r"\w{4,}", documented)
  assert all(word in _CXX for word in words), documented


_STRINGS = [text for text in _all_strings() if re.search(r"\w{4}", text)]
_CXX = _cxx()
