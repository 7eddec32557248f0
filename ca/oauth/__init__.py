"""The authorization server (RFC 6749, 7009, 7636, 8414, 9068, 9207, 9470)."""
