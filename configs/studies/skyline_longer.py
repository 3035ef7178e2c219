"""As skyline_main, but longer, and with one self-supervised teacher for all.

Teachers and the student alone learn the classes from the labeled clips, for as many
steps as 20 epochs of all clips would take. Students with teachers see all clips. Each
epoch has its own augmentation, in all runs. The one teacher of KD, DIST and the others
is the one after odd-one-out, the best of the four on Motions' validation list; a
teacher from scratch is shown beside it. The table is of validation clips, so no epoch
is chosen by them.
"""

_base_ = './_skyline.py'

name = 'skyline_longer'
title = 'All methods on skyline for longer, motion: TSM-R50 to TSM-R18'
options = {
    'train_cfg.max_epochs': 20,
    'train_cfg.val_interval': 2,
    'param_scheduler.1.end': 20,
    'default_hooks.checkpoint.save_best': None,
    'default_hooks.checkpoint.interval': 5,
    'train_dataloader.sampler.views': 20,
}
labels = dict(
    quarter=dict(labeled=0.25, epochs=80, interval=8),
    all=dict(labeled=1, epochs=20, interval=2),
    tenth=dict(labeled=0.1, epochs=200, interval=20),
)
_set = 'train_dataloader.dataset'
_weak = {f'{_set}.type': 'mmvkd.WeakLabels', f'{_set}.labeled': '{labeled}'}
_labeled_only = {
    **_weak,
    f'{_set}.labeled_only': True,
    'train_dataloader.sampler.views': '{epochs}',
    'train_cfg.max_epochs': '{epochs}',
    'train_cfg.val_interval': '{interval}',
    'param_scheduler.1.end': '{epochs}',
    'default_hooks.checkpoint.interval': '{interval}',
}
_one = {'odd_one_out': 'model.teachers.tsm_r50.checkpoint'}
runs = {
    'kept': dict(_base_.runs.kept, needs=_one, options=_weak, _delete_=True),
    **{
        task: dict(run, options=_labeled_only) for task, run in _base_._teachers.items()
    },
    **{store: dict(run, options=_weak) for store, run in _base_._stores.items()},
}
_read = dict(needs={**_one, 'kept': ''})
_asked = dict(needs=_one)
_four = _base_._of_four
_graph = 'model.heads.logits_graph', 'model.heads.representation_graph'
_alone = {f'{_graph[0]}.loss_weight': 1, f'{_graph[1]}.loss_weight': 0}
_edges = {
    edges: {f'{head}.edges': edges for head in _graph}
    for edges in ('uniform', 'learned')
}
# title, config, teachers, and what is changed
_rows = dict(
    kd=('KD', 'kd_tsm', _read),
    dist=('DIST', 'dist_tsm', _read),
    zscore_kd=('z-scored KD', 'zscore_kd_tsm', _read),
    collaborative=('collaborative', 'collaborative_tsm', _read),
    graph=('graphs of four teachers', 'graph_tsm', _four),
    staged=('staged', 'staged_tsm', _asked),
    dist_all=('DIST of the four', 'dist_self_supervised', _four),
    kd_all=('KD of the four', 'kd_self_supervised', _four),
    fitnets=('FitNets', 'fitnets_tsm', _asked),
    combined=('all heads at once', 'combined_tsm', _asked),
)
_parts = dict(
    representation=('representation graph', {f'{_graph[0]}.loss_weight': 0}),
    uniform=('both, uniform', _edges['uniform']),
    learned=('both, learned', _edges['learned']),
    logits=('logits graph', _alone),
    logits_uniform=('logits graph, uniform', {**_alone, **_edges['uniform']}),
)
methods = dict(
    student=dict(_base_._student, options=_labeled_only),
    scratch=dict(
        config='mmvkd::teachers/tsm_r50.py',
        options=_labeled_only,
        seeds=[0],
        title='TSM-R50 from nothing',
    ),
    **{
        name: dict(
            run,
            config=f'mmvkd::distill/{file}_r50_to_r18.py',
            options=_weak,
            title=title,
        )
        for name, (title, file, run) in _rows.items()
    },
    **{
        name: dict(
            _four,
            config='mmvkd::distill/graph_tsm_r50_to_r18.py',
            options={**_weak, **options},
            settings=['quarter'],
            seeds=[0] if 'logits' in name else [0, 1, 2],
            title=title,
        )
        for name, (title, options) in _parts.items()
    },
    **{
        f'kd_{task}': dict(
            config='mmvkd::distill/kd_self_supervised_r50_to_r18.py',
            needs=[task, f'{task}_store'],
            environment=dict(MMVKD_TEACHERS=task),
            options=_weak,
            settings=['quarter'],
            seeds=[0],
            title=f'KD, {title}',
        )
        for task, title in _base_._tasks.items()
    },
)
