"""The store's contract (`base`) and its engines."""
