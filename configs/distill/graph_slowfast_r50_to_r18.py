"""Logits and representation graph (after arXiv 1804.10069), to SlowFast-R18.

The teachers are SlowFast-R50 and a Video Swin, which see the same frames.
"""

_base_ = ['../_base_/pairs/slowfast_r50_to_r18.py', '../_base_/graph.py']

work_dir = f'work_dirs/{_base_.dataset}/{{ fileBasenameNoExtension }}'
model = dict(
    teachers=dict(
        swin_tiny=dict(
            type='mmvkd.RecognizerTeacher',
            model=dict(config='mmvkd::teachers/swin_tiny.py'),
            checkpoint=_base_.checkpoints.get(
                'swin_tiny', f'work_dirs/{_base_.dataset}/swin_tiny'
            ),
            recipe='python tools/train.py mmvkd::teachers/swin_tiny.py',
        )
    ),
    heads=dict(
        logits_graph=_base_.logits_graph,
        representation_graph=dict(
            _base_.representation_graph,
            tap='backbone.slow_path.layer4',
            teacher_tap=dict(
                slowfast_r50='backbone.slow_path.layer4', swin_tiny='backbone.layers.3'
            ),
        ),
    ),
)
default_hooks = dict(picture=_base_.picture)
