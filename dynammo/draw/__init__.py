"""Pictures from tables: knows names of methods, nothing of learning."""
