"""The operators' command, `amrgate-ca`."""
