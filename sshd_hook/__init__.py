"""What runs on an SSH host: the decision at each login, and what keeps it up to date.

Nothing here imports anything but Python's standard library, from 3.9 on.
"""
