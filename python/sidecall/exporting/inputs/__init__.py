"""What the model accepts: features, their types, ranges and categories."""
