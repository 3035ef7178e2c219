"""Three cells on small Motions: teachers, the student alone, the distilled student.

The teachers train for longer: what they learned is what distillation saves.
"""

name = 'quickstart'
title = 'Quickstart: TSM-R50 and TSM-R34 to TSM-R18 on Motions'
data = 'motions'
environment = dict(MMVKD_SIZE='32')
options = {
    'train_cfg.max_epochs': 4,
    'param_scheduler.1.end': 4,
}
seeds = [0]
student = 'student'
threads = 2
_longer = {'train_cfg.max_epochs': 7, 'param_scheduler.1.end': 7}
_teacher = dict(seed=0, options=_longer)
runs = dict(
    tsm_r50=dict(_teacher, config='mmvkd::teachers/tsm_r50.py', title='TSM-R50'),
    tsm_r34=dict(_teacher, config='mmvkd::teachers/tsm_r34.py', title='TSM-R34'),
)
methods = dict(
    student=dict(config='mmvkd::students/tsm_r18.py', title='student alone'),
    # two processes of half the batch, through tools/dist_train.sh
    graph=dict(
        config='mmvkd::distill/graph_tsm_r50_to_r18.py',
        needs=['tsm_r50', 'tsm_r34'],
        processes=2,
        threads=1,
        options={'train_dataloader.batch_size': 8},
        title='graph-distilled',
    ),
)
