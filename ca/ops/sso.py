"""`amrgate-ca sso`: what is the operator's to say of organizations' single sign-on providers."""

import sys
from dataclasses import replace
from pathlib import Path

import click
from sqlalchemy import Connection

from ca import audit
from ca.directory.apply.grammar import is_host
from ca.errors import InvalidRequest, NotFound
from ca.identity.sso.providers import secret_purpose
from ca.keys import keyring
from ca.ops.database import open_database, operator
from ca.ops.options import data_option, known_passphrase, passphrase_option
from ca.store import sso as store
from ca.store.engine import writing
from ca.store.sso import Provider

MAX_SECRET = 1024  # characters


@click.group()
def sso() -> None:
    """Who is led to which provider, and its client secret.

    Example: amrgate-ca sso domains acme acme.example
    """


@sso.command()
@click.argument("slug")
@click.argument("names", nargs=-1)
@data_option
def domains(slug: str, names: tuple[str, ...], data: Path) -> None:
    """Lead people to the provider SLUG by their addresses.

    Those whose e-mail address is of one of the domains NAMES; without any, nobody.

    Example: amrgate-ca sso domains acme acme.example
    """
    for name in names:
        if not is_host(name):
            raise InvalidRequest(f"{name!a} is not a domain: lower case, without an @.")
    with open_database(data) as engine, writing(engine) as connection:
        provider = _find(connection, slug)
        store.put_client(connection, replace(provider, domains=tuple(dict.fromkeys(names))))
        detail = {"before": list(provider.domains), "after": list(names)}
        audit.append(connection, "provider:domains", operator(), slug, detail)
    click.echo(f"{slug}: {' '.join(names) or 'no domains'}")


@sso.command()
@click.argument("slug")
@data_option
@passphrase_option
def secret(slug: str, data: Path, passphrase_file: Path | None) -> None:
    """Store the client secret of the provider SLUG.

    It is read from standard input; empty is none.

    Example: amrgate-ca sso secret acme < secret
    """
    given = sys.stdin.read(MAX_SECRET + 1).strip()
    if len(given) > MAX_SECRET:
        raise InvalidRequest(f"A client secret has at most {MAX_SECRET} characters.")
    seal = keyring.unlock(data, known_passphrase(passphrase_file)).seal
    with open_database(data) as engine, writing(engine) as connection:
        provider = _find(connection, slug)
        sealed = seal.seal(given.encode(), secret_purpose(slug, provider.issuer)) if given else None
        store.put_client(connection, replace(provider, client_secret_sealed=sealed))
        audit.append(connection, "provider:secret", operator(), slug, {"given": bool(given)})
    click.echo(f"{slug}: {'the secret is stored' if given else 'no secret'}")


def _find(connection: Connection, slug: str) -> Provider:
    provider = store.find_provider(connection, slug)
    if provider is None:
        raise NotFound(f"There is no provider {slug!a} that can be asked.")
    return provider
