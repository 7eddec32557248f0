"""One module for each command: options and words; what they do is in the modules above."""
