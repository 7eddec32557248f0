"""What is measured: each figure has a budget and a yardstick of the same run."""
