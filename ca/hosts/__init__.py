"""The machines with sshd: how they join, what they obey, and how they hear of a change."""
