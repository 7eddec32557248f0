"""Many hosts: as many as one node can keep, and three real ones with a network that fails."""
