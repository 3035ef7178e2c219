"""Shared by studies on Motions: small clips, one strong teacher, short schedules."""

data = 'motions'
environment = dict(MMVKD_SIZE='32', MMVKD_DECODER='{{$MMVKD_DECODER:kept}}')
options = {
    'train_cfg.max_epochs': 8,
    'param_scheduler.1.end': 8,
    'default_hooks.checkpoint.interval': 4,
}
seeds = [0, 1, 2]
student = 'student'
baselines = ['student', 'dist']
requires = {
    'data/motions/motions_train_list.txt': (
        'make it with: python tools/data/make_motions.py data/motions'
    )
}
# from nothing, the deepest network is the last to learn
_longest = {'train_cfg.max_epochs': 20, 'param_scheduler.1.end': 20}
# of students: eight augmentations of each clip recur, the same for all and for any
# number of epochs, so that what the teacher says of them can be kept
_views = {'train_dataloader.sampler.views': 8}
_scheduled = {
    **_views,
    'train_cfg.max_epochs': '{epochs}',
    'param_scheduler.1.end': '{epochs}',
}
# labels that are mended on the way
_hook = 'default_hooks.pseudo_labels'
_refining = {
    f'{_hook}.type': 'mmvkd.PseudoLabelHook',
    f'{_hook}.warmup': 2,
    f'{_hook}.momentum': 0.4,
    f'{_hook}.teacher_weight': 0.8,
}
runs = dict(
    tsm_r50=dict(
        config='mmvkd::teachers/tsm_r50.py', seed=0, options=_longest, title='TSM-R50'
    ),
    kept=dict(
        config='mmvkd::distill/collaborative_tsm_r50_to_r18.py',
        caches='tsm_r50',
        needs=['tsm_r50'],
        seed=0,
        options=_views,
    ),
)
_online = dict(needs=['tsm_r50'], options=_views)
_tsm = dict(needs=['tsm_r50', 'kept'], options=_views)
_student = dict(
    config='mmvkd::students/tsm_r18.py', options=_views, title='student alone'
)
_kd = dict(_tsm, config='mmvkd::distill/kd_tsm_r50_to_r18.py', title='KD')
_dist = dict(_tsm, config='mmvkd::distill/dist_tsm_r50_to_r18.py', title='DIST')
