"""The documents of the checkout, and the code in them."""

import dataclasses
import pathlib
import re

ROOT = pathlib.Path(__file__).parent.parent.parent
PAGES = (
  ROOT / "README.md",
  ROOT / "CONTRIBUTING.md",
  *sorted((ROOT / "docs").glob("*.md")),
)
_EACH = re.MULTILINE | re.DOTALL
_FENCE = re.compile(r"^```(.*)\n((?:.*\n)*?)```$", re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class Block:
  """A fenced block; `language` is what stands behind the fence."""

  page: pathlib.Path
  language: str
  code: str

  @property
  def line(self) -> int:
    """Where its code starts in the page."""
    text = self.page.read_text(encoding="utf-8")
    return text[: text.index(self.code)].count("\n") + 1


def blocks(page: pathlib.Path, language: str) -> list[Block]:
  """Returns the blocks of a page in this language, in order."""
  text = page.read_text(encoding="utf-8")
  return [
    Block(page, found.group(1), found.group(2))
    for found in _FENCE.finditer(text)
    if found.group(1) == language
  ]


def failures() -> list[tuple[str, str]]:
  """Returns commands that are meant to fail, each with the output shown."""
  shown = re.compile(r"^```bash fails\n(.*?)```\n+```text\n(.*?)```$", _EACH)
  return [
    (command.strip(), output)
    for page in PAGES
    for command, output in shown.findall(page.read_text("utf-8"))
  ]


def first_column(page: pathlib.Path) -> list[str]:
  """Returns the first cell of every row of every table of a page."""
  rows = re.findall(r"^\| (.*?) \|", page.read_text("utf-8"), re.MULTILINE)
  return [row for row in rows if not row.startswith("-")]
