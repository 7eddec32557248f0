"""Issuing certificates: draft, lint, record, sign."""
