"""The container of a saved fit: a zip with ``model.json`` and ``arrays/*.npy``, written whole or not at all."""

from __future__ import annotations

import io
import json
import os
import secrets
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from henderson import errors_persistence
from henderson.errors import MixedModelError

Json = Any

FORMAT = "henderson model"
FORMAT_VERSION = 1
MANIFEST = "model.json"
FOLDER = "arrays/"
BEGINNING_OF_TIME = (1980, 1, 1, 0, 0, 0)  # of zip files: the same fit makes the same file
COMPRESSION_LEVEL = 1


def path_of(value: Any) -> Path:
    """A path from text or a path."""
    if not isinstance(value, str | os.PathLike) or not os.fspath(value):
        raise errors_persistence.path_type(value)
    return Path(value)


def write_whole(path: Path, write: Callable[[Any], None]) -> None:
    """Write a file through a temporary one beside it, so that what was there stays until all is written."""
    if path.is_dir():
        raise errors_persistence.is_a_folder(str(path))
    if not path.parent.is_dir():
        raise errors_persistence.folder_absent(str(path), str(path.parent))
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with temporary.open("xb") as file:
            write(file)
        temporary.replace(path)
    except OSError as reason:
        raise errors_persistence.file_unwritable(str(path), reason) from None
    finally:
        temporary.unlink(missing_ok=True)


def write_archive(path: Path, manifest: Json, arrays: dict[str, NDArray[Any]]) -> None:
    """Write the values and the arrays of a fit."""

    def write(file: Any) -> None:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=COMPRESSION_LEVEL) as archive:
            text = json.dumps(manifest, indent=1, allow_nan=False, ensure_ascii=False)
            archive.writestr(_entry(MANIFEST), text.encode())
            for name, values in arrays.items():
                content = io.BytesIO()
                np.save(content, values, allow_pickle=False)
                archive.writestr(_entry(f"{FOLDER}{name}.npy"), content.getvalue())

    write_whole(path, write)


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, BEGINNING_OF_TIME)
    entry.compress_type = zipfile.ZIP_DEFLATED
    return entry


def read_archive(path: Path, read: Callable[[Json, Callable[[str], NDArray[Any]]], Any]) -> Any:
    """Give ``read(manifest, array by name)`` of a file; whatever is wrong with the file is one clear error."""
    try:
        with path.open("rb") as file:
            if file.read(4) != b"PK\x03\x04":
                raise errors_persistence.not_a_model(str(path))
            with zipfile.ZipFile(file) as archive:
                return read(_manifest(path, archive), _arrays(archive))
    except MixedModelError:
        raise
    except FileNotFoundError:
        raise errors_persistence.file_absent(str(path)) from None
    except IsADirectoryError:
        raise errors_persistence.not_a_model(str(path)) from None
    except KeyError as missing:
        raise errors_persistence.entry_missing(str(path), str(missing.args[0])) from None
    except zipfile.BadZipFile as reason:
        raise errors_persistence.file_damaged(str(path), str(reason)) from None
    except (OSError, EOFError, ValueError, TypeError, IndexError, AttributeError, ArithmeticError) as reason:
        raise errors_persistence.file_damaged(str(path), f"{type(reason).__name__}: {reason}") from None
    except (RecursionError, NotImplementedError, AssertionError, zlib.error) as reason:
        raise errors_persistence.file_damaged(str(path), type(reason).__name__) from None


def _manifest(path: Path, archive: zipfile.ZipFile) -> Json:
    if MANIFEST not in archive.namelist():
        raise errors_persistence.not_a_model(str(path))
    manifest = json.loads(archive.read(MANIFEST))
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise errors_persistence.not_a_model(str(path))
    version = manifest["format_version"]
    if version > FORMAT_VERSION:
        raise errors_persistence.version_newer(str(path), version, FORMAT_VERSION, str(manifest["henderson"]))
    return manifest


def _arrays(archive: zipfile.ZipFile) -> Callable[[str], NDArray[Any]]:
    known: dict[str, NDArray[Any]] = {}

    def array(name: str) -> NDArray[Any]:
        if name not in known:
            entry = f"{FOLDER}{name}.npy"
            if entry not in archive.namelist():
                raise KeyError(entry)
            known[name] = np.load(io.BytesIO(archive.read(entry)), allow_pickle=False)
        return known[name]

    return array
