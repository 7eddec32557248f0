"""The public key that somebody wants certified: one line as in `id_ed25519.pub`, and no weak key.

No message holds anything of what was sent: people paste private keys.
"""

from ca.errors import InvalidRequest
from ca.issuance.strength import check_strength
from sshd_hook.certificate import KEY_TYPES
from sshd_hook.wire import WireError, unb64

MAX_LINE = 8192  # characters
_PRIVATE = ("PRIVATE KEY", "PuTTY-User-Key-File")


def parse_subject_key(text: str) -> bytes:
    """Return the plain key of `ssh-ed25519 AAAA… comment`; the comment is dropped.

    Raises:
        InvalidRequest: this is not exactly one public key of a kind that we certify.
    """
    line = text.removesuffix("\n")
    _check_line(line)
    key_type, data, comment = (*line.split(" ", 2), "", "")[:3]
    if key_type not in KEY_TYPES:
        raise InvalidRequest(_wrong_type(line))
    if not set(KEY_TYPES).isdisjoint(comment.split()):
        raise InvalidRequest("There is a second public key after the first. Send only one.")
    try:
        blob = unb64(data)
        written_type = check_strength(blob)
    except WireError as error:
        raise InvalidRequest(f"This public key cannot be certified: {error}.") from error
    if written_type != key_type:
        raise InvalidRequest("The public key is of another type than the word before it says.")
    return blob


def _check_line(line: str) -> None:
    if any(mark in line for mark in _PRIVATE):
        raise InvalidRequest(
            "This is a private key. It was not stored, but it has left your machine: make a new"
            " one, and send its public half, the file that ends in .pub."
        )
    if len(line) > MAX_LINE:
        raise InvalidRequest(f"The public key is longer than {MAX_LINE} characters.")
    if not line.isprintable():
        raise InvalidRequest("Send one public key, on one line, without control characters.")


def _wrong_type(line: str) -> str:
    first = line.split(" ", 1)[0]
    if "-cert-v0" in first:
        return "This is a certificate. Send the plain public key, the file that ends in .pub."
    if first == "ssh-dss":
        return "DSA keys are not certified. Make an Ed25519 key: ssh-keygen -t ed25519."
    if any(key_type in line for key_type in KEY_TYPES):
        return "Something stands before the public key. Send it without options."
    return f"This is not a public key of a type that is certified: {', '.join(KEY_TYPES)}."
