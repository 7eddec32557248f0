"""`amrgate-ca sso`: what is the operator's to say of organizations' single sign-on providers."""

from dataclasses import replace
from pathlib import Path

import click

from ca import audit
from ca.directory.apply.grammar import is_host
from ca.errors import InvalidRequest, NotFound
from ca.ops.database import open_database, operator
from ca.ops.options import data_option
from ca.store import sso as store
from ca.store.engine import writing


@click.group()
def sso() -> None:
    """Say whose e-mail addresses lead to which single sign-on provider.

    Example: amrgate-ca sso domains acme acme.example
    """


@sso.command()
@click.argument("slug")
@click.argument("names", nargs=-1)
@data_option
def domains(slug: str, names: tuple[str, ...], data: Path) -> None:
    """Lead people whose addresses are of the domains NAMES to the provider SLUG; without, nobody.

    Example: amrgate-ca sso domains acme acme.example
    """
    for name in names:
        if not is_host(name):
            raise InvalidRequest(f"{name!a} is not a domain: lower case, without an @.")
    with open_database(data) as engine, writing(engine) as connection:
        provider = store.find_provider(connection, slug)
        if provider is None:
            raise NotFound(f"There is no provider {slug!a} that can be asked.")
        store.put_client(connection, replace(provider, domains=tuple(dict.fromkeys(names))))
        detail = {"before": list(provider.domains), "after": list(names)}
        audit.append(connection, "provider:domains", operator(), slug, detail)
    click.echo(f"{slug}: {' '.join(names) or 'no domains'}")
