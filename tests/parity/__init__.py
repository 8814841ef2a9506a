"""`make parity`: compares random pipelines with their exported files on adversarial rows."""
