"""Look-up of installed packages and of the configs that they publish."""

from __future__ import annotations

import difflib
import importlib.metadata
import importlib.util
from pathlib import Path


def package_folder(name: str) -> Path | None:
    """Return the folder of an importable package without importing it."""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    return None if spec is None or spec.origin is None else Path(spec.origin).parent


def is_installed(package: str) -> bool:
    """Tell whether a distribution or module of this name is installed."""
    try:
        importlib.metadata.distribution(package)
    except importlib.metadata.PackageNotFoundError:
        return package_folder(package) is not None
    return True


def get_installed_path(package: str) -> str:
    """Return the folder of the module that a distribution installs.

    Args:
        package: Name of a distribution (``mmaction2``) or of a module (``mmaction``).

    Returns:
        The folder, such as ``…/site-packages/mmaction``.

    Raises:
        importlib.metadata.PackageNotFoundError: If there is neither.
    """
    folder = package_folder(package)
    if folder is None:
        top_level = importlib.metadata.distribution(package).read_text('top_level.txt')
        for module in (top_level or '').split():
            folder = folder or package_folder(module)
    if folder is None:
        raise importlib.metadata.PackageNotFoundError(package)
    return str(folder)


def config_file(name: str) -> str:
    """Return the file of a published config ``package::path``; a plain path stays.

    Args:
        name: Such as ``mmaction::recognition/tsm/….py`` or
            ``mmvkd::distill/graph_tsm_r50_to_r18.py``; without ``::`` it comes back
            as it is.

    Returns:
        The file below ``.mim/configs`` of the installed package, or below ``configs``
        beside the package when that is a checkout.

    Raises:
        FileNotFoundError: if the package has no such config; names similar ones.
        ModuleNotFoundError: if the package is not installed.
    """
    scope, colons, path = name.partition('::')
    if not colons:
        return name
    package = package_folder(scope)
    if package is None:
        raise ModuleNotFoundError(f'config {name!r} names {scope!r}, not installed')
    # A checkout comes first: a `.mim` in it may be left from an older build.
    checkout, installed = package.parent / 'configs', package / '.mim' / 'configs'
    is_checkout = any((package.parent / f).exists() for f in ('setup.py', '.git'))
    folders = [checkout, installed] if is_checkout else [installed]
    for folder in folders:
        if (folder / path).is_file():
            return str(folder / path)
    there = [
        file.relative_to(folder).as_posix()
        for folder in folders
        for file in folder.rglob('*.py')
    ]
    near = ', '.join(difflib.get_close_matches(path, there, cutoff=0.5)) or 'none'
    raise FileNotFoundError(
        f'config {name!r} is not in {" or ".join(map(str, folders))}; near: {near}'
    )


def near_files(path: str) -> str:
    """Words that name Python files of similar names beside ``path``, '' without any."""
    folder, name = Path(path).parent, Path(path).stem
    there = [file.stem for file in folder.glob('*.py')]
    near = difflib.get_close_matches(name, there)
    told = ', '.join(str(folder / f'{stem}.py') for stem in near)
    return f'; near: {told}' if near else ''
