"""`amrgate-ca key`: change the CA's keys."""

import time
from pathlib import Path

import click

from ca import audit
from ca.errors import InvalidRequest
from ca.keys import files, statements, token
from ca.keys.files import public_line
from ca.keys.keyring import FOLDER, key_path
from ca.ops.database import open_database, operator
from ca.ops.options import data_option, known_passphrase, passphrase_option
from ca.store.engine import writing

RESTART = 'Hosts follow to the new key, once "amrgate-ca serve" is restarted.'


@click.group()
def key() -> None:
    """Change the keys of this certificate authority.

    Example: amrgate-ca key rotate-token
    """


@key.command("rotate-token")
@data_option
@passphrase_option
def rotate_token(data: Path, passphrase_file: Path | None) -> None:
    """Make a new key that signs access tokens.

    The old one's tokens are good until they end. Then copy the folder "keys" to the other nodes,
    and restart all of them within the hour.

    Example: amrgate-ca key rotate-token --passphrase-file /root/passphrase
    """
    passphrase = known_passphrase(passphrase_file)
    with open_database(data) as engine:
        made = token.rotate(key_path(data, "token"), passphrase, int(time.time()))
        with writing(engine) as connection:
            detail = {"key": public_line(made.public_key)}
            audit.append(connection, "key:rotate", operator(), "token", detail)
    click.echo('Access tokens are signed with a new key, once "amrgate-ca serve" is restarted.')


@key.command("rotate-bundle")
@data_option
@passphrase_option
def rotate_bundle(data: Path, passphrase_file: Path | None) -> None:
    """Make a new key that signs what hosts obey.

    The present one tells hosts so. Only while nobody else has the present one: if it was stolen or
    lost, see draft-recovery. Then copy the folder "keys" to the other nodes, and restart all of
    them.

    Example: amrgate-ca key rotate-bundle --passphrase-file /root/passphrase
    """
    passphrase = known_passphrase(passphrase_file)
    with open_database(data) as engine:
        made = statements.rotate(data / FOLDER, passphrase, int(time.time()))
        with writing(engine) as connection:
            detail = {"key": made.bundle_key, "number": made.number}
            audit.append(connection, "key:rotate", operator(), "bundle", detail)
    click.echo(RESTART)


@key.command("draft-recovery")
@data_option
@passphrase_option
def draft_recovery(data: Path, passphrase_file: Path | None) -> None:
    """Draft a new key for what hosts obey.

    And print the statement for the recovery key to sign. For when the present key was stolen or
    lost. Nothing changes before `amrgate-ca key recover`. Offline, where the recovery key is:
    ssh-keygen -Y sign -f recovery.key -n amrgate-keys FILE

    Example: amrgate-ca key draft-recovery > statement
    """
    passphrase = known_passphrase(passphrase_file)
    files.read_private_key(key_path(data, "seal"), passphrase)  # the one of all keys, not another
    click.echo(statements.draft(data / FOLDER, passphrase, int(time.time())), nl=False)


@key.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@data_option
def recover(file: Path, data: Path) -> None:
    """Let the key of draft-recovery take over.

    As FILE says, which the recovery key signed. Its signature is in FILE.sig, as ssh-keygen writes
    it. Then copy the folder "keys" to the other nodes, and restart all of them: hosts follow, and
    take nothing by the key before any more.

    Example: amrgate-ca key recover statement
    """
    signature = file.with_name(f"{file.name}.sig")
    try:
        text, armored = file.read_text(), signature.read_text()
    except (OSError, ValueError) as error:
        raise InvalidRequest(f"{file} and {signature} cannot be read: {error}.") from error
    with open_database(data) as engine:
        made = statements.recover(data / FOLDER, text, armored)
        with writing(engine) as connection:
            detail = {"key": made.bundle_key, "number": made.number}
            audit.append(connection, "key:recover", operator(), "bundle", detail)
    click.echo(RESTART)
