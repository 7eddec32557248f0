"""What the rest of the service knows of a key: that it signs."""

from typing import Protocol


class Signer(Protocol):
    """A CA key, wherever it lives: a file, ssh-agent, a PKCS#11 token or a cloud KMS."""

    @property
    def public_key(self) -> bytes:
        """The public key as SSH encodes it (RFC 4253, section 6.6)."""
        ...

    def sign(self, data: bytes) -> bytes:
        """Return the SSH signature blob of `data`: algorithm name, then signature.

        Blocks for as long as the device needs, which may be seconds: never call it while a
        database transaction is open. Never logs or stores `data`.

        Raises:
            SigningFailed: the key is unreachable, locked or refuses. Nothing was signed;
                trying again is safe.
        """
        ...
