"""Writes docs/api.md from the docstrings of the public functions.

python docs/generate_api.py           writes it
python docs/generate_api.py --check   exits with 1 if it is not current

Reads the source without importing it, so that the page does not depend on the
versions of Python and JAX.
"""

import argparse
import ast
import dataclasses
import pathlib
import re
import sys
from collections.abc import Iterator, Sequence

_ROOT = pathlib.Path(__file__).parent.parent
_PACKAGE = "jax_deepgemm"
_PAGE = pathlib.Path("docs") / "api.md"
_PACKAGES = (_PACKAGE, f"{_PACKAGE}.testing")
_HEADER = """\
# API

Every public name, from its docstring. Written by `docs/generate_api.py`; do not
edit.
"""

Node = ast.FunctionDef | ast.ClassDef


@dataclasses.dataclass(frozen=True)
class Name:
  """One public name: where it is defined and what it is."""

  package: str
  module: str
  name: str
  node: ast.stmt | None


def main(argv: Sequence[str] | None = None) -> int:
  """Returns the exit code."""
  parser = argparse.ArgumentParser(prog="docs/generate_api.py")
  parser.add_argument("--check", action="store_true")
  parser.add_argument("--root", type=pathlib.Path, default=_ROOT)
  arguments = parser.parse_args(argv)
  path = arguments.root / _PAGE
  text = page(arguments.root)
  if not arguments.check:
    path.write_text(text, encoding="utf-8")
    return 0
  if path.exists() and path.read_text(encoding="utf-8") == text:
    return 0
  print(f"{_PAGE} is not current: run python docs/generate_api.py")
  return 1


def page(root: pathlib.Path) -> str:
  """Returns the text of docs/api.md for the package in `root`."""
  parts = [_HEADER]
  for package in _PACKAGES:
    parts.append(f"\n## {package}\n")
    module = ""
    for name in _public_names(root, package):
      if name.module != module:
        module = name.module
        parts.append(f"\n### In {module}\n\n{_module_doc(root, module)}\n")
      parts.append(_entry(name))
  return "".join(parts)


def _public_names(root: pathlib.Path, package: str) -> Iterator[Name]:
  """Returns what the package's __init__ re-exports, module by module."""
  tree = _parse(root, package, is_package=True)
  for statement in tree.body:
    if not isinstance(statement, ast.ImportFrom):
      continue
    module = statement.module
    for alias in statement.names:
      if alias.asname == alias.name and not alias.name.startswith("_"):
        node = _definition(_parse(root, module), alias.name)
        yield Name(package, module, alias.name, node)


def _parse(
  root: pathlib.Path, module: str, is_package: bool = False
) -> ast.Module:
  path = root.joinpath(*module.split("."))
  path = path / "__init__.py" if is_package else path.with_suffix(".py")
  return ast.parse(path.read_text(encoding="utf-8"))


def _definition(tree: ast.Module, name: str) -> ast.stmt | None:
  for node in tree.body:
    if isinstance(node, Node) and node.name == name:
      return node
    if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
      return node
  return None


def _module_doc(root: pathlib.Path, module: str) -> str:
  return _markdown(ast.get_docstring(_parse(root, module)) or "")


def _entry(name: Name) -> str:
  title = f"\n#### {name.name}\n\n"
  if not isinstance(name.node, Node):
    value = ast.unparse(name.node) if name.node else name.name
    return f"{title}```text\n{value}\n```\n"
  doc = ast.get_docstring(name.node) or ""
  return f"{title}```text\n{_signature(name.node)}\n```\n\n{_markdown(doc)}\n"


def _signature(node: Node) -> str:
  """Returns `name(arguments) -> result`, or a class with its fields."""
  if isinstance(node, ast.ClassDef):
    return "\n".join([f"class {node.name}", *_members(node)])
  result = f" -> {ast.unparse(node.returns)}" if node.returns else ""
  one_line = f"{node.name}({ast.unparse(node.args)}){result}"
  if len(one_line) <= 80:
    return one_line
  arguments = "".join(f"  {text},\n" for text in _arguments(node.args))
  return f"{node.name}(\n{arguments}){result}"


def _arguments(arguments: ast.arguments) -> Iterator[str]:
  """Returns the text of each argument."""
  # Commas within annotations keep a split at commas from being right.
  positional = [*arguments.posonlyargs, *arguments.args]
  missing = len(positional) - len(arguments.defaults)
  defaults = [None] * missing + list(arguments.defaults)
  for argument, default in zip(positional, defaults, strict=True):
    yield _argument(argument, default)
  if arguments.vararg:
    yield f"*{ast.unparse(arguments.vararg)}"
  elif arguments.kwonlyargs:
    yield "*"
  for argument, default in zip(
    arguments.kwonlyargs, arguments.kw_defaults, strict=True
  ):
    yield _argument(argument, default)
  if arguments.kwarg:
    yield f"**{ast.unparse(arguments.kwarg)}"


def _argument(argument: ast.arg, default: ast.expr | None) -> str:
  text = ast.unparse(argument)
  return text if default is None else f"{text} = {ast.unparse(default)}"


def _members(node: ast.ClassDef) -> Iterator[str]:
  for member in node.body:
    if isinstance(member, ast.AnnAssign):
      if ast.unparse(member.target)[0] != "_":
        yield f"  {ast.unparse(member)}"
    elif isinstance(member, ast.FunctionDef) and member.name[0] != "_":
      doc = (ast.get_docstring(member) or "").split("\n")[0]
      yield f"  {member.name}: {doc}"


def _markdown(doc: str) -> str:
  """Returns a Google docstring as Markdown: its sections become lists."""
  lines, in_section = [], False
  for line in doc.split("\n"):
    section = re.fullmatch(r"(Args|Attributes|Returns|Raises):", line)
    item = re.fullmatch(r"  (\*{0,2}[\w, ]+): (.*)", line)
    if section:
      in_section = True
      lines += [f"*{section.group(1)}*", ""]
    elif in_section and item:
      lines.append(f"- `{item.group(1)}`: {item.group(2)}")
    elif in_section:
      lines.append(line.removeprefix("  "))
    else:
      # Four columns make a block of code; the docstring's own two do not.
      lines.append(f"  {line}" if line.startswith("  ") else line)
  return "\n".join(lines).strip()


if __name__ == "__main__":
  sys.exit(main())
