"""Tables and queries: the only SQL. Functions take a connection and never commit."""
