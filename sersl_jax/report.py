"""Makes report.html of finished runs again: `python -m sersl_jax.report runs/ssl1`."""

from collections.abc import Sequence

from sersl_jax import cli


def main(argv: Sequence[str]) -> None:
    """One page a run directory, written into it."""
    if len(argv) < 2:
        raise ValueError("name the run directories: python -m sersl_jax.report runs/ssl1")
    from sersl_jax.reports import run  # slow to import: --help and mistakes answer at once

    for workdir in argv[1:]:
        print(run.write(workdir))


if __name__ == "__main__":
    cli.run(main)
