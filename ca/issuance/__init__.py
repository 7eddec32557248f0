"""From a public key to a certificate: draft, lint what will be signed, record, sign, compare."""
