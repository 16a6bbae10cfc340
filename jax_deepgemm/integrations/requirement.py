"""Libraries that are needed by one integration alone."""

import importlib
import types


def require(module: str, install: str) -> types.ModuleType:
  """Returns the module, imported.

  Args:
    module: dotted name.
    install: what brings the library, for the message.

  Raises:
    ImportError: the library is not installed. An ImportError out of a library
      that is there is passed on as it is.
  """
  try:
    return importlib.import_module(module)
  except ModuleNotFoundError as error:
    library = module.split(".")[0]
    # One that the library itself misses has another name.
    if error.name is None or error.name.split(".")[0] != library:
      raise
    raise ImportError(
      f"{library} is not installed, and this integration needs it: {install}",
      name=library,
    ) from error
