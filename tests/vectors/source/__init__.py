"""The sources of the test vectors: graphs, contracts, broken files and their cases.

Used by ../generate.py.
"""
