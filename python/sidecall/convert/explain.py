"""Which steps of a model convert, for `sidecall check`."""
