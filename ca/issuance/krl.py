"""OpenSSH's revocation list (PROTOCOL.krl), as hosts hand it to sshd's RevokedKeys.

sshd takes an absent, cut off or unreadable list as "everything is revoked" and one of no bytes as
"nothing is": so also where nothing is revoked, there is a list to install, and it has a version.
"""

from sshd_hook import wire

MAGIC = b"SSHKRL\n\0"
FORMAT = 1


def write(version: int, generated_at: int) -> bytes:
    """A list that revokes nothing: byte for byte what `ssh-keygen -k -z VERSION` makes.

    `version` grows with every change; `generated_at` is in seconds since the epoch. sshd looks at
    neither: that a list is not an older one is for whoever installs it to see.
    """
    flags, reserved, comment = wire.u64(0), wire.string(b""), wire.string(b"")
    header = wire.u32(FORMAT) + wire.u64(version) + wire.u64(generated_at)
    return MAGIC + header + flags + reserved + comment
