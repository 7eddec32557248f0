"""Who somebody is, how they proved it, and for how long that counts."""
