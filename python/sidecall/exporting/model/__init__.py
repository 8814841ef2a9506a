"""The fitted model as the reference: its answers, and what each of its steps computes."""
