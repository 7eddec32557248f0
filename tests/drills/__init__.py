"""Drills: what must not happen, tried more often than a suite has time for (`make drills`)."""
