"""``openapi``: what the listeners serve, as OpenAPI documents."""

from __future__ import annotations

import click
import msgspec

from gateway.cli.examples import examples


@click.command(epilog=examples("openapi", "openapi --internal"))
@click.option("--internal", is_flag=True, help="The API for services on the internal listener.")
def openapi(internal: bool) -> None:
    """Print the OpenAPI document of a listener.

    It is OpenAPI 3.1, of the public listener unless --internal is given: paths, authentication, headers and errors.
    """
    # Imported here, since each pulls in what its listener serves.
    if internal:
        from gateway.internal.openapi import document as described  # noqa: PLC0415
        from gateway.internal.operations import OPERATIONS  # noqa: PLC0415

        found = described(OPERATIONS)
    else:
        from gateway.api.openapi import document  # noqa: PLC0415

        found = document()
    click.echo(msgspec.json.format(msgspec.json.encode(found), indent=2))
