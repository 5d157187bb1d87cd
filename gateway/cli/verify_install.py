"""``verify-install``: are the installed files the ones of the release?"""

from __future__ import annotations

import sys
from importlib.metadata import distributions
from pathlib import Path

import click

import gateway
from gateway.cli.examples import PROGRAM, examples
from gateway.cli.options import OperatorError, json_option, write_json
from gateway.evidence.installation import ManifestError, compare, contents, recorded, released


@click.command(
    "verify-install",
    epilog=examples("verify-install", "verify-install --manifest release.manifest.json"),
)
@click.option(
    "--manifest",
    "manifest_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The manifest of the installed release, whose signature you verified; else the list that the wheel brought.",
)
@json_option
def verify_install(manifest_path: Path | None, as_json: bool) -> None:
    """Compare the installed files with the release. Prints each file that is changed, missing or added, and exits with
    1 if there is one. Python and the packages of others are not compared.
    """
    root = Path(str(gateway.__file__)).parent.parent
    # Only what lies beside the code that runs: a distribution elsewhere says nothing about it.
    installed = next(iter(distributions(name=PROGRAM, path=[str(root)])), None)
    if installed is None:
        text = f"{root} is a source tree, and the package is installed from it in editable mode or not at all"
        if manifest_path is not None:
            raise OperatorError(f"{text}: install the wheel to compare it with a manifest")
        if as_json:
            write_json({"compared_with": None, "root": str(root)})
        else:
            click.echo(f"{text}: there is nothing to compare")
        return
    try:
        if manifest_path is not None:
            expected = released(manifest_path.read_bytes(), PROGRAM, installed.version)
        elif (record := installed.read_text("RECORD")) is not None:
            expected = recorded(record)
        else:
            raise OperatorError("the installed package has no RECORD: use --manifest")
        found = compare(expected, dict(contents(root)))
    except ManifestError as error:
        raise OperatorError(str(error)) from None
    except OSError as error:
        raise OperatorError(
            f"{error.filename}: {error.strerror}; name a file that exists, and use an account that may read it"
        ) from None
    against = "RECORD" if manifest_path is None else "manifest"
    kinds = {"changed": found.changed, "missing": found.missing, "added": found.added}
    if as_json:
        summary = {kind: [_shown(path) for path in paths] for kind, paths in kinds.items()}
        write_json(
            {
                "compared_with": against,
                "root": str(root),
                "version": installed.version,
                "files": len(expected),
                **summary,
            }
        )
    else:
        for kind, paths in kinds.items():
            for path in paths:
                click.echo(f"{kind:<7}  {_shown(path)}")
        said = ", ".join(f"{len(paths)} {kind}" for kind, paths in kinds.items()) if found else "all as released"
        click.echo(f"{len(expected)} files of {installed.version} in {root}, compared with the {against}: {said}")
    if found:
        sys.exit(OperatorError.exit_code)


def _shown(path: str) -> str:
    """A path for a terminal and for JSON: whoever added the file chose its name."""
    return path if path.isprintable() else ascii(path)
