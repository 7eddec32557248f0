"""The routes of the API, one module a subject; each is five to fifteen lines."""
