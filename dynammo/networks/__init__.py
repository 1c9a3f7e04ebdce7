"""Networks written out, their weights, and batch norm folded away."""
