"""Which key signs what hosts obey, in statements that hosts follow: kept, made, and put to use.

The statements since the recovery key's last one are kept beside the keys: whichever of them a host
has missed, it can follow from there. The file is replaced before the key, and what a process that
is killed in between leaves is finished by doing the same again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ca.errors import Conflict, InvalidRequest, Misconfigured
from ca.keys import files
from ca.keys.files import FileSigner, public_line
from ca.keys.sshsig import sign_file, verify_file
from sshd_hook import statement
from sshd_hook.statement import NAMESPACE, Statement

if TYPE_CHECKING:
    from pathlib import Path

NAME = "statements"
NEXT = "bundle.next.key"  # in the place of bundle.key once a statement names it
BUNDLE = "bundle.key"
RECOVERY = "recovery.pub"


@dataclass(frozen=True)
class Statements:
    """The signed statements that hosts follow, the oldest first; `recovery` is the number of the
    first, if it is the recovery key's. `number` is the last one's; 0 where there is none.
    """

    signed: tuple[str, ...] = ()
    number: int = 0
    recovery: int = 0


NONE = Statements()


def read(folder: Path) -> Statements:
    """The statements in the folder of keys; each was verified when it came there.

    Raises:
        Misconfigured: the file is damaged, or does not name the bundle key that is in use.
    """
    path = folder / NAME
    try:
        signed = tuple(statement.split_file(path.read_text()))
        named = [statement.parse(statement.split(one)[0]) for one in signed]
    except FileNotFoundError:
        return NONE
    except (OSError, ValueError) as error:
        raise Misconfigured(f"{path} cannot be read: {error}.") from error
    if not named:
        return NONE
    if named[-1].bundle_key != _in_use(folder):
        raise Misconfigured(
            f"{path} names another key than {BUNDLE}: run the last `amrgate-ca key rotate-bundle`"
            " or `amrgate-ca key recover` again."
        )
    by_recovery = _is_by(folder / RECOVERY, signed[0])
    return Statements(signed, named[-1].number, named[0].number if by_recovery else 0)


def rotate(folder: Path, passphrase: bytes, now: int) -> Statement:
    """Let a new bundle key take over, by a statement that the present one signs.

    Raises:
        Misconfigured: a key cannot be read, or the passphrase is not its.
    """
    present = FileSigner(files.read_private_key(folder / BUNDLE, passphrase))
    if _is_named_already(folder):
        return _take_over(folder)
    before = read(folder)
    new = _make_next(folder, passphrase)
    made = Statement(max(now, before.number + 1), new)
    text = statement.render(made)
    signed = text + sign_file(present, NAMESPACE, text.encode())
    _put(folder / NAME, "".join((*before.signed, signed)).encode())
    return _take_over(folder)


def draft(folder: Path, passphrase: bytes, now: int) -> str:
    """Make a new bundle key, and the text for the recovery key to sign. Nothing else changes."""
    return statement.render(Statement(now, _make_next(folder, passphrase)))


def recover(folder: Path, text: str, signature: str) -> Statement:
    """Let the bundle key of `draft` take over, by the recovery key's word.

    Raises:
        InvalidRequest: it is not the recovery key's, or not about that key.
        Conflict: the recovery key has said something later.
    """
    try:
        made = statement.parse(text)
        kept, _ = statement.split(text + signature)
        verify_file(files.read_public_key(folder / RECOVERY), NAMESPACE, kept.encode(), signature)
    except ValueError as error:  # StatementError among them
        raise InvalidRequest(f"This is not a statement of the recovery key: {error}.") from error
    last = _last_recovery(folder)
    if made.number < last or (made.number == last and not _is_named_already(folder)):
        raise Conflict("The recovery key has signed a later statement: draft and sign another one.")
    if made.bundle_key not in (_public(folder / NEXT), _in_use(folder)):
        raise InvalidRequest(
            f"The statement names another key than {NEXT}, which `amrgate-ca key draft-recovery`"
            " made last: sign the statement that it printed then."
        )
    _put(folder / NAME, (text + signature).encode())
    return _take_over(folder)


def _last_recovery(folder: Path) -> int:
    try:
        first = statement.split_file((folder / NAME).read_text())[0]
    except (FileNotFoundError, IndexError):
        return 0
    if not _is_by(folder / RECOVERY, first):
        return 0
    return statement.parse(statement.split(first)[0]).number


def _is_by(public_key: Path, signed: str) -> bool:
    text, signature = statement.split(signed)
    try:
        verify_file(files.read_public_key(public_key), NAMESPACE, text.encode(), signature)
    except ValueError:
        return False
    return True


def _make_next(folder: Path, passphrase: bytes) -> str:
    key = Ed25519PrivateKey.generate()
    line = public_line(files.public_blob(key))
    _put(folder / NEXT, files.encrypt(key, passphrase))
    _put((folder / NEXT).with_suffix(".pub"), f"{line} amrgate bundle\n".encode())
    return line


def _is_named_already(folder: Path) -> bool:
    """Whether somebody was stopped between the statement and the key that it names."""
    try:
        last = statement.split_file((folder / NAME).read_text())[-1]
    except (FileNotFoundError, IndexError):
        return False
    named = statement.parse(statement.split(last)[0]).bundle_key
    return named == _public(folder / NEXT) != _in_use(folder)


def _take_over(folder: Path) -> Statement:
    last = statement.split_file((folder / NAME).read_text())[-1]
    named = statement.parse(statement.split(last)[0])
    if named.bundle_key != _in_use(folder):
        if (folder / NEXT).exists():  # else somebody was stopped right after this
            (folder / NEXT).replace(folder / BUNDLE)
        (folder / NEXT).with_suffix(".pub").replace((folder / BUNDLE).with_suffix(".pub"))
    return named


def _in_use(folder: Path) -> str | None:
    return _public(folder / BUNDLE)


def _public(path: Path) -> str | None:
    try:
        return public_line(files.read_public_key(path.with_suffix(".pub")))
    except Misconfigured:
        return None


def _put(path: Path, data: bytes) -> None:
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    files.write_new(new, data)
    new.replace(path)
