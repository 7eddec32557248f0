"""Programs that break inputs at random and look for what should not be: `make fuzz`."""
