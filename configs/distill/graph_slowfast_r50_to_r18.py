"""Logits and representation graph (after arXiv 1804.10069), to SlowFast-R18.

The teachers, SlowFast-R50 and a Video Swin, see the same frames.
"""

_base_ = ['../_base_/teachers.py', '../_base_/runtime.py', '../_base_/graph.py']

work_dir = f'work_dirs/{_base_.dataset}/{{ fileBasenameNoExtension }}'
model = dict(
    type='mmvkd.VideoDistiller',
    student=dict(config='mmvkd::students/slowfast_r18.py'),
    teachers=dict(
        slowfast_r50=_base_.known_teachers.slowfast_r50,
        swin_tiny=_base_.known_teachers.swin_tiny,
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
del _base_.known_teachers
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=_base_.train_pipeline_3d)))
val_dataloader = dict(dataset=dict(pipeline=_base_.val_pipeline_3d))
test_pipeline = _base_.test_pipeline_3d
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
default_hooks = dict(picture=_base_.picture)
