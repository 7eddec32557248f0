"""`amrgate-ca openapi`: the description of the API."""

import json

import click


@click.command()
def openapi() -> None:
    """Print the OpenAPI document of the HTTP API.

    Example: amrgate-ca openapi > openapi.json
    """
    from ca.app import bare_app  # all routes with FastAPI: nobody else waits for it

    click.echo(json.dumps(bare_app().openapi(), indent=2, sort_keys=True))
