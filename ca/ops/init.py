"""`amrgate-ca init`: keys, database and settings of a new CA, all of them or nothing."""

import os
import shutil
import tempfile
from pathlib import Path
from shlex import quote

import click
from sqlalchemy.exc import SQLAlchemyError

from ca import audit, settings
from ca.errors import Conflict, Misconfigured
from ca.keys import files, keyring
from ca.ops.options import data_option, new_passphrase, passphrase_option
from ca.settings import Settings
from ca.store import schema
from ca.store.engine import open_engine, writing

NEXT = """\
The CA is in {data}. Your SSH hosts will trust its user CA key,
  {fingerprint}

The recovery key can name a new bundle key if this machine is lost or broken
into. The service never reads it: move it to a safe place offline,
  {recovery}

Next, say who and what there is (see examples/), answer engineers and hosts, and
let a machine join:
  amrgate-ca apply --data {shell} FILE.toml
  amrgate-ca serve --data {shell}
  amrgate-ca host token --data {shell} NAME
"""


@click.command()
@data_option
@passphrase_option
@click.option(
    "--issuer",
    default="http://127.0.0.1:8022",
    show_default=True,
    help="The URL under which engineers and hosts reach the CA.",
)
@click.option("--listen", default="127.0.0.1:8022", show_default=True, help="Where it listens.")
@click.option("--database", help="SQLAlchemy's URL of a database; a file in the folder if not.")
@click.option(
    "--ssh-host",
    "ssh_hosts",
    multiple=True,
    help='A pattern of SSH hosts, such as "*.ssh.acme.example"; may be repeated.',
)
def init(  # noqa: PLR0913, PLR0917 -- one parameter for each option
    data: Path,
    passphrase_file: Path | None,
    issuer: str,
    listen: str,
    database: str | None,
    ssh_hosts: tuple[str, ...],
) -> None:
    """Make the keys, the database and the settings of a new CA.

    Example: amrgate-ca init --issuer https://ca.acme.example --ssh-host "*.ssh.acme.example"
    """
    data = data.absolute()
    chosen = Settings(
        data=data,
        issuer=settings.check_issuer(issuer),
        listen=settings.check_listen(listen),
        database=database or settings.default_database(data),
        ssh_hosts=settings.check_host_patterns(ssh_hosts),
        proxies=settings.default_proxies(issuer, listen),
    )
    _refuse_to_overwrite(data)
    create(chosen, new_passphrase(passphrase_file))
    user_ca = files.read_public_key(keyring.key_path(data, "user_ca").with_suffix(".pub"))
    click.echo(
        NEXT.format(
            data=data,
            shell=quote(str(data)),
            recovery=keyring.key_path(data, keyring.RECOVERY),
            fingerprint=files.public_line(user_ca),
        ),
        nl=False,
    )


def create(chosen: Settings, passphrase: bytes) -> None:
    """Make everything beside the folder `chosen.data`, then move it there in one step.

    Raises:
        Conflict: there is something already. It is left as it was.
        Misconfigured: the folder or the database cannot be made.
    """
    data = chosen.data
    _refuse_to_overwrite(data)
    try:
        data.parent.mkdir(parents=True, exist_ok=True)
        # mkdtemp's folder has mode 0700 from the start.
        work = Path(tempfile.mkdtemp(prefix=f".{data.name}.", dir=data.parent))
    except OSError as error:
        raise Misconfigured(f"{data} cannot be made: {error.strerror}.") from error
    try:
        _fill(work, chosen, passphrase)
        os.rename(work, data)  # noqa: PTH104 -- unlike Path.rename's name, this one says it all
    except OSError as error:
        raise Misconfigured(f"{data} cannot be made: {error.strerror}.") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _refuse_to_overwrite(data: Path) -> None:
    # An empty folder is taken: systemd's StateDirectory= makes one.
    if data.is_symlink() or (data.exists() and not (data.is_dir() and not any(data.iterdir()))):
        raise Conflict(f"There is something in {data} already: nothing was changed.")


def _fill(work: Path, chosen: Settings, passphrase: bytes) -> None:
    keyring.create(work, passphrase)
    files.write_new(work / settings.SETTINGS_FILE, settings.render(chosen).encode())
    inside = chosen.database == settings.default_database(chosen.data)
    engine = open_engine(settings.default_database(work) if inside else chosen.database)
    try:
        with writing(engine) as connection:
            if schema.version(connection) is not None:
                raise Conflict("The database belongs to a CA already: nothing was changed.")
        schema.upgrade(engine)
        with writing(engine) as connection:
            public = {
                role: files.public_line(files.read_public_key(path.with_suffix(".pub")))
                for role in (*keyring.ROLES, keyring.RECOVERY)
                if (path := keyring.key_path(work, role)).with_suffix(".pub").exists()
            }
            audit.append(connection, "ca:init", "operator", chosen.issuer, {"keys": public})
    except SQLAlchemyError as error:
        raise Misconfigured(f"The database cannot be used: {type(error).__name__}.") from error
    finally:
        engine.dispose()
