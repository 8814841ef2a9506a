"""The user's data, in its own container and as columns."""
