"""What the vectors are made from: graphs, contracts, broken files and the cases about them. Used by ../generate.py."""
