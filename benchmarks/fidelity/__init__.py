"""`make parity`: random pipelines and adversarial rows, asked of original and exported file."""
