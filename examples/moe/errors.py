"""What a user can put right."""


class UsageError(Exception):
  """Arguments, devices or files that don't fit; shown without a traceback."""
