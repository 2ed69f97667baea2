"""The version of this package, as written to logs and certificates."""

from importlib.metadata import PackageNotFoundError, version


def product_version() -> str:
    """The version of this package; "unknown" in a source tree that is not installed."""
    try:
        return version("realtime-mer")
    except PackageNotFoundError:
        return "unknown"
