"""Converters of feature-engine. Importing this package registers them."""

from . import dates, models, numbers  # noqa: F401
