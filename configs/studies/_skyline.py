"""Shared by studies on skyline: where the set is, its classes and pretext tasks."""

_base_ = './_self_supervised.py'

data = 'skyline'
_root = '{{$MMVKD_SKYLINE:../shared/data/skyline}}'
environment = dict(MMVKD_SKYLINE=_root)
requires = {
    '_delete_': True,
    f'{_root}/motion_train.txt': 'say where the set is with MMVKD_SKYLINE',
}
classes = ['left', 'right', 'up', 'down', 'hover']
reversals = [('left', 'right'), ('up', 'down')]
baselines = ['student', 'kd', 'zscore_kd', 'dist', 'fitnets']
# without labels, so the same in all settings
runs = {
    **{name: dict(run, labels='all') for name, run in _base_._pretexts.items()},
    # targets are small, and coherence from nothing is not learned
    'coherence_pretext': dict(
        _base_._pretexts['coherence_pretext'],
        needs={'registration_pretext': 'load_from'},
        labels='all',
    ),
}
