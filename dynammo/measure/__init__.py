"""What is measured of learners and runs: accuracy, cost, claims, speed."""
