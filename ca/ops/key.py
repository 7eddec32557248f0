"""`amrgate-ca key`: change the CA's keys."""

import time
from pathlib import Path

import click

from ca import audit
from ca.keys import token
from ca.keys.files import public_line
from ca.keys.keyring import key_path
from ca.ops.database import open_database, operator
from ca.ops.options import data_option, known_passphrase, passphrase_option
from ca.store.engine import writing


@click.group()
def key() -> None:
    """Change the keys of this certificate authority.

    Example: amrgate-ca key rotate-token
    """


@key.command("rotate-token")
@data_option
@passphrase_option
def rotate_token(data: Path, passphrase_file: Path | None) -> None:
    """Make a new key that signs access tokens; the old one's are good until they end.

    Then copy the folder "keys" to the other nodes, and restart all of them within the hour.

    Example: amrgate-ca key rotate-token --passphrase-file /root/passphrase
    """
    passphrase = known_passphrase(passphrase_file)
    with open_database(data) as engine:
        made = token.rotate(key_path(data, "token"), passphrase, int(time.time()))
        with writing(engine) as connection:
            detail = {"key": public_line(made.public_key)}
            audit.append(connection, "key:rotate", operator(), "token", detail)
    click.echo('Access tokens are signed with a new key, once "amrgate-ca serve" is restarted.')
