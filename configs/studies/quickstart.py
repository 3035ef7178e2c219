"""Three cells on small Motions: teachers, the student alone, the distilled student."""

name = 'quickstart'
title = 'Quickstart: TSM-R50 to TSM-R18 on Motions'
data = 'motions'
options = {'train_cfg.max_epochs': 2, 'param_scheduler.1.end': 2}
seeds = [0]
student = 'student'
runs = dict(
    tsm_r50=dict(config='mmvkd::teachers/tsm_r50.py', seed=0, title='TSM-R50'),
    tsm_r50_seed1=dict(
        config='mmvkd::teachers/tsm_r50.py', seed=1, title='TSM-R50, seed 1'
    ),
)
methods = dict(
    student=dict(config='mmvkd::students/tsm_r18.py', title='student alone'),
    # two processes, through tools/dist_train.sh
    graph=dict(
        config='mmvkd::distill/graph_tsm_r50_to_r18.py',
        needs=['tsm_r50', 'tsm_r50_seed1'],
        processes=2,
        title='graph-distilled',
    ),
)
