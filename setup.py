"""Build of mmvkd: the package, with configs and tools below ``mmvkd/.mim``."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
# What only makes sense in a checkout: scripts, and published numbers with pictures.
OF_CHECKOUT = ('_venv.sh', 'quickstart.sh', 'run_tests.sh', 'test_matrix.sh', 'results')


class BuildWithConfigs(build_py):
    """Adds copies of ``configs`` and ``tools``, where MMEngine and MIM expect them.

    An editable install needs none: there ``mmvkd.packages`` finds the checkout's own.
    """

    def run(self) -> None:
        if getattr(self, 'editable_mode', False):
            super().run()
            return
        package = Path(self.build_lib) / 'mmvkd'
        # An older build in the same folder would add files that are gone since.
        shutil.rmtree(package, ignore_errors=True)
        super().run()
        unwanted = shutil.ignore_patterns('__pycache__', '*.pyc', *OF_CHECKOUT)
        for folder in ('configs', 'tools'):
            target = package / '.mim' / folder
            shutil.copytree(str(ROOT / folder), str(target), ignore=unwanted)


def read(name: str) -> str:
    """Return the text of a file of the checkout, or nothing if it is not there."""
    file = ROOT / name
    return file.read_text(encoding='utf-8') if file.is_file() else ''


def version() -> str:
    """Return ``__version__`` without importing the package, which needs torch."""
    match = re.search(r"^__version__ = '(.+)'$", read('mmvkd/__init__.py'), re.M)
    if match is None:
        raise RuntimeError('mmvkd/__init__.py has no line __version__ = …')
    return match.group(1)


setup(
    name='mmvkd',
    version=version(),
    description='Knowledge distillation for video recognition, inside MMAction2',
    long_description=read('README.md'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    license_files=['LICENSE'],
    python_requires='>=3.9',
    packages=find_packages(include=['mmvkd', 'mmvkd.*']),
    # No install_requires, on purpose. Whoever has an MMAction2 environment keeps it:
    # torch, mmcv (or mmcv-lite), numpy and opencv must never be replaced, and even
    # `mmengine` or `mmaction2` would make pip complete *their* requirements, such as
    # an opencv-python beside a headless one, which then pulls another numpy.
    # requirements/ says what the package needs; tools/_venv.sh installs it.
    install_requires=[],
    cmdclass={'build_py': BuildWithConfigs},
    zip_safe=False,
)
