"""Nearest neighbours among embeddings. The rows are the truth; every index is derived from them."""
