"""The version of this package, as written to logs and certificates."""

from importlib.metadata import PackageNotFoundError, version


def product_version() -> str:
    """Of this package; "unknown" where it is run from a source tree that was not installed."""
    try:
        return version("realtime-mer")
    except PackageNotFoundError:
        return "unknown"
