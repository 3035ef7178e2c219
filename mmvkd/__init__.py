"""Knowledge distillation for video recognition, inside MMAction2."""

from mmvkd import compat

compat.apply()

from mmvkd import registry  # noqa: E402  (the mends come before anything else)

__version__ = '0.1.0'

__all__ = ['__version__', 'compat', 'registry']
