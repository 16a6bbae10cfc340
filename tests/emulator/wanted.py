"""Cases made of keyword arguments: their own fields, and a configuration's."""

import dataclasses


def take(kind, fields):
  """Returns those of `fields` that a dataclass has, taken out of the dict."""
  names = {field.name for field in dataclasses.fields(kind)}
  return {name: fields.pop(name) for name in names & fields.keys()}


def fits(config, wanted):
  """Returns whether fields of a configuration have the values wanted."""
  return all(getattr(config, name) == value for name, value in wanted)


def words(wanted):
  """Returns a part of a case's id for each field."""
  return [f"{name}={value}" for name, value in wanted]
