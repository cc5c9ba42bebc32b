"""Addresses: paths of this machine or `scheme://…`. A film has one canonical address, made by `canonical`; whether two
addresses are of the same file is said by `identity`.
"""

from __future__ import annotations

import importlib.util
import os
import posixpath
import re
from unicodedata import is_normalized, normalize
from urllib.parse import unquote_to_bytes

from movie_tags.storage.errors import StorageError

BEAM_SCHEMES = {"gs": "", "s3": "boto3", "hdfs": "hdfs", "azfs": "azure.storage.blob"}
"""Of Beam's file systems, each with the package that it needs besides ours; only gs:// is tried."""
NO_NUL = "its name holds a NUL character; rename it"

NO_TEXT = "its name is not UTF-8; rename it"

_SCHEME = re.compile(r"([a-zA-Z][-a-zA-Z0-9+.]+)://")
_FILE = re.compile(r"file:(?://(?P<host>[^/]*))?(?P<path>/.*)", re.IGNORECASE | re.DOTALL)
_WINDOWS = re.compile(r"[a-zA-Z]:[\\/]|\\\\")


class AddressError(StorageError):
    """An address that nothing here can ever open."""


def scheme_of(uri: str) -> str | None:
    """`gs` of `gs://bucket/name`; None for a path of this machine."""
    found = _SCHEME.match(uri)
    return found.group(1).lower() if found else None


def is_remote(uri: str) -> bool:
    """Whether an address is not a path of this machine."""
    return scheme_of(uri) is not None


def check_scheme(uri: str) -> None:
    """Refuse an address whose scheme no file system here knows.

    Raises:
        AddressError: it does.
    """
    scheme = scheme_of(uri)
    if scheme == "file":
        raise AddressError("a path is wanted here; write it without file://")
    if scheme is not None and scheme not in BEAM_SCHEMES:
        raise AddressError(f"{scheme}:// is not supported; copy the file to this machine or to gs:// and name it there")
    package = BEAM_SCHEMES.get(scheme or "")
    if package and not _is_installed(package):
        raise AddressError(f"{scheme}:// needs the package {package}; install it, or copy the file to this machine")


def _is_installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:
        return False


def join(folder: str, *parts: str) -> str:
    """The address of something in a folder."""
    return posixpath.join(folder, *parts) if is_remote(folder) else os.path.join(folder, *parts)


def base_name(uri: str) -> str:
    """The last part of an address."""
    return uri.replace("\\", "/").rstrip("/").rpartition("/")[2]


def is_below(path: str, folder: str) -> bool:
    """Whether a file lies in a folder or below it, by their names."""
    return path.replace("\\", "/").startswith(folder.replace("\\", "/").rstrip("/") + "/")


def relative_to(path: str, folder: str) -> str:
    """The way from a folder to a path, by their names."""
    return posixpath.relpath(path.replace("\\", "/"), folder.replace("\\", "/"))


def same_text(name: str) -> str:
    """A name in Unicode's composed normal form (NFC): names that look the same to people are equal in it."""
    return name if name.isascii() else normalize("NFC", name)


def other_text(name: str) -> str:
    """A name in Unicode's decomposed normal form (NFD), as some file systems have it."""
    return name if name.isascii() else normalize("NFD", name)


def canonical(typed: str, folder: str | None = None) -> str:
    """The canonical address of what a user or a catalogue names: absolute, `file://` and `~` resolved.

    Symbolic links stay in it, and a name stays as it is on the disk: it is the one that is opened. Where nothing has
    the name as it is typed, the one that differs from it in Unicode's normal form alone is taken (files from macOS).

    Args:
        typed: a path or address.
        folder: what relative paths are relative to; None: the current folder.

    Raises:
        AddressError: of a scheme that is not supported, of another machine, or of Windows; or no name of a file at all.
    """
    if "\0" in typed:
        raise AddressError(NO_NUL)
    try:
        os.fsencode(typed)
    except UnicodeEncodeError:
        raise AddressError(NO_TEXT) from None
    found = _FILE.fullmatch(typed)
    if found is None and is_remote(typed):
        check_scheme(typed)
        scheme, _, rest = typed.partition("://")
        return f"{scheme.lower()}://{rest}"
    path = _path_of(found) if found else typed
    if "\0" in path:
        raise AddressError(NO_NUL)
    if path.startswith("~") and not os.path.lexists(os.path.join(folder or os.getcwd(), path)):
        path = os.path.expanduser(path)
    path = as_on_disk(_collapsed(os.path.join(folder or os.getcwd(), path)))
    if os.name == "posix" and _WINDOWS.match(typed) and not os.path.lexists(path):
        raise AddressError(f"{typed!r} is a path of Windows; name the file as this machine does (a mount, or gs://)")
    return path


def _path_of(file_uri: re.Match[str]) -> str:
    """The path of a `file:` address, percent escapes decoded but where only the undecoded name exists."""
    host, raw = file_uri["host"], file_uri["path"]
    if host and host.lower() != "localhost":
        raise AddressError(f"{file_uri[0]!r} names a file of another machine, {host}; mount it and name its path here")
    path = os.fsdecode(unquote_to_bytes(raw))
    return raw if os.path.lexists(raw) and not os.path.lexists(path) else path


def _collapsed(path: str) -> str:
    """An absolute path without `.`, `..` and doubled slashes; `..` of a link is the folder above what it leads to."""
    parts = [part for part in path.split(os.sep) if part not in ("", os.curdir)]
    if os.pardir not in parts:
        return os.sep + os.sep.join(parts)
    last = len(parts) - parts[::-1].index(os.pardir)
    return os.path.join(os.path.realpath(os.sep + os.sep.join(parts[:last])), *parts[last:])


def as_on_disk(path: str) -> str:
    """An absolute path with its names in the normal form that they have on the disk; as it is where there is none."""
    if path.isascii() or os.path.lexists(path):
        return path
    found = os.sep
    for part in path.split(os.sep)[1:]:
        if not part.isascii() and not os.path.lexists(os.path.join(found, part)):
            try:
                names = sorted(os.listdir(found))
            except OSError:
                return path
            part = next((name for name in names if same_text(name) == same_text(part)), part)
        found = os.path.join(found, part)
    return found if os.path.lexists(found) else path


def identity(address: str) -> str:
    """What two canonical addresses of one file have in common: symbolic links resolved, in normal form NFC.

    A name whose normal form is another file's, beside it in the same folder, stays as it is.
    """
    if is_remote(address):
        return address
    path = os.path.realpath(address)
    if is_normalized("NFC", path):
        return path
    found, shown = os.sep, os.sep
    for part in path.split(os.sep)[1:]:
        composed = same_text(part)
        there, other = os.path.join(found, part), os.path.join(found, composed)
        if composed != part and os.path.lexists(other) and not os.path.samefile(there, other):
            composed = part
        found, shown = there, os.path.join(shown, composed)
    return shown


def same_file(one: str, other: str) -> bool:
    """Whether two canonical addresses are of the same file."""
    return one == other or identity(one) == identity(other)
