"""Teachers, the student alone and distilled students, on small Motions.

The teachers train for longer: what they learned is what distillation saves.
"""

name = 'quickstart'
title = 'Quickstart: TSM-R50 and TSM-R34 to TSM-R18 on Motions'
data = 'motions'
environment = dict(MMVKD_SIZE='32')
options = {'train_cfg.max_epochs': 3, 'param_scheduler.1.end': 3}
seeds = [0]
student = 'student'
_longer = {'train_cfg.max_epochs': 6, 'param_scheduler.1.end': 6}
_longest = {'train_cfg.max_epochs': 10, 'param_scheduler.1.end': 10}
# side by side, a core each
runs = dict(
    tsm_r50=dict(
        config='mmvkd::teachers/tsm_r50.py', seed=0, options=_longer, title='TSM-R50'
    ),
    tsm_r34=dict(
        config='mmvkd::teachers/tsm_r34.py', seed=0, options=_longest, title='TSM-R34'
    ),
)
# two processes of half the batch, through tools/dist_train.sh
_shared = dict(processes=2, options={'train_dataloader.batch_size': 8})
methods = dict(
    student=dict(_shared, config='mmvkd::students/tsm_r18.py', title='student alone'),
    graph=dict(
        _shared,
        config='mmvkd::distill/logits_graph_tsm_r50_to_r18.py',
        needs=['tsm_r50', 'tsm_r34'],
        title='graph-distilled',
    ),
    collaborative=dict(
        _shared,
        config='mmvkd::distill/collaborative_tsm_r34_to_r18.py',
        needs=['tsm_r34'],
        title='spectrum-distilled',
    ),
)
