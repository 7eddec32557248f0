"""Making the directory equal to a file: all of it, in one transaction, or nothing."""
