"""The methods that all others are compared with: TSM-R50 to TSM-R18, three seeds.

Clips are small and training is short, so that two cores without a GPU take an hour.
Teachers train for longer: distillation spares the students that training.
"""

environment = dict(MMVKD_SIZE='32')
seeds = [0, 1, 2]
student = 'student'
baselines = ['student', 'kd', 'zscore_kd', 'dist', 'dkd', 'fitnets']
_tsm = dict(needs=['tsm_r50'])
_longer = {'train_cfg.max_epochs': 12, 'param_scheduler.1.end': 12}
_teacher = dict(seed=0, options=_longer)
runs = dict(
    tsm_r50=dict(_teacher, config='mmvkd::teachers/tsm_r50.py', title='TSM-R50'),
    tsm_r34=dict(_teacher, config='mmvkd::teachers/tsm_r34.py', title='TSM-R34'),
)
methods = dict(
    student=dict(config='mmvkd::students/tsm_r18.py', title='student alone'),
    kd=dict(_tsm, config='mmvkd::distill/kd_tsm_r50_to_r18.py', title='KD'),
    zscore_kd=dict(
        _tsm, config='mmvkd::distill/zscore_kd_tsm_r50_to_r18.py', title='z-scored KD'
    ),
    dist=dict(_tsm, config='mmvkd::distill/dist_tsm_r50_to_r18.py', title='DIST'),
    dkd=dict(_tsm, config='mmvkd::distill/dkd_tsm_r50_to_r18.py', title='DKD'),
    fitnets=dict(
        _tsm, config='mmvkd::distill/fitnets_tsm_r50_to_r18.py', title='FitNets'
    ),
    graph=dict(
        config='mmvkd::distill/logits_graph_tsm_r50_to_r18.py',
        needs=['tsm_r50', 'tsm_r34'],
        # undoes the head's factor τ² = 16
        options={
            'model.heads.logits_graph.edges': 'uniform',
            'model.heads.logits_graph.loss_weight': 0.0625,
        },
        title='logits graph, uniform',
    ),
)
