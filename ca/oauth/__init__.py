"""The authorization server (RFC 6749, 7009, 7636, 7662, 8414, 8628, 9068, 9207, 9470)."""
