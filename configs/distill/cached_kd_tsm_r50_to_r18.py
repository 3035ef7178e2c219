"""KD (arXiv 1503.02531), TSM-R50 to TSM-R18; the teacher runs once, before training.

python tools/cache_teacher.py configs/distill/cached_kd_tsm_r50_to_r18.py
python tools/train.py mmvkd::distill/cached_kd_tsm_r50_to_r18.py
"""

_base_ = './kd_tsm_r50_to_r18.py'

work_dir = f'work_dirs/{_base_.dataset}/{{ fileBasenameNoExtension }}'
model = dict(
    teachers=dict(
        tsm_r50=dict(
            type='mmvkd.CachedTeacher',
            store=f'work_dirs/{_base_.dataset}/stores/tsm_r50',
        )
    )
)
train_dataloader = dict(sampler=dict(views=4))
