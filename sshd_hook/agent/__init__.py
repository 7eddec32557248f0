"""The host's daemon: fetches what the hook decides by, checks it, and puts it in place."""
