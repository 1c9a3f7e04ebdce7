"""Where images come from, and how they are cut into sessions: knows nothing of learning."""
