"""Every error that this package raises on purpose. Errors of other libraries are wrapped in one of these.

MerError                 the caller can fix it; the text is one line that says what to do
+- SourceError           the video, camera or stream cannot be opened or read
+- ModelError            a model file is missing, not ours, or does not fit this version
+- ConfigError           a setting is unknown, of the wrong type or out of range
+- DeviceError the requested device is not available
+- OutputError           a result cannot be written
+- DataError             a data set is missing, incomplete or contradictory (training)
"""


class MerError(Exception):
    """Base of all errors of this package. ``exit_code`` is what the command line returns for it."""

    exit_code = 1


class SourceError(MerError):
    exit_code = 3


class ModelError(MerError):
    exit_code = 4


class ConfigError(MerError):
    exit_code = 2


class DeviceError(MerError):
    exit_code = 5


class OutputError(MerError):
    exit_code = 6


class DataError(MerError):
    exit_code = 7


def first_line(error: BaseException) -> str:
    """The message of another library's error, in one line of at most 160 characters; its type if it has no message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
