"""What goes beyond the paper: other ways of merging, solved heads, batch norm."""
