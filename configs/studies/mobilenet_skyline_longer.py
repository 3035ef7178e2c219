"""As mobilenet_skyline, in 38 epochs, from the same teacher of 15."""

_base_ = './mobilenet_skyline.py'

name = 'mobilenet_skyline_longer'
title = 'A network for phones on skyline for longer: TSM-R50 to TSM-MobileNetV2'
options = {
    'train_cfg.max_epochs': 38,
    'train_cfg.val_interval': 2,
    'param_scheduler.1.end': 38,
}
_taught = ['dist', 'staged', 'zscore_kd', 'collaborative', 'fitnets', 'kd']
methods = {
    '_delete_': True,
    **{name: _base_.methods[name] for name in _taught},
    'student': dict(_base_.methods['student_longer'], title='student alone'),
}
