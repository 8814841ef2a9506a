"""Converters of skrub. Importing this package registers them."""

from . import dates, models  # noqa: F401
