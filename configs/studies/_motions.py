"""What studies on Motions share: small clips, one strong teacher, a student that has
flattened.
"""

data = 'motions'
environment = dict(MMVKD_SIZE='32')
options = {'train_cfg.max_epochs': 8, 'param_scheduler.1.end': 8}
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
runs = dict(
    tsm_r50=dict(
        config='mmvkd::teachers/tsm_r50.py', seed=0, options=_longest, title='TSM-R50'
    )
)
_tsm = dict(needs=['tsm_r50'])
_one = dict(_tsm, seeds=[0])
