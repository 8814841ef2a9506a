"""How arrays, tables and dates of the caller become what the backends take, and back."""
