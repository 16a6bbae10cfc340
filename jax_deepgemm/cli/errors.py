"""What ends the command with a message instead of a traceback."""

import importlib.util


class CommandLineError(Exception):
  """The command cannot do what it was asked to; exit code 2."""


def require(package: str) -> None:
  """Returns nothing if `package`, of the extra `cli`, is installed.

  Raises:
    CommandLineError: it is not; the text says how to install it.
  """
  if importlib.util.find_spec(package) is None:
    raise CommandLineError(
      f"this needs the package {package}, which is not installed: run\n"
      '  python -m pip install "jax_deepgemm[cli]"'
    )
