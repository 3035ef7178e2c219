"""What weight each baseline needs, chosen as the weights of the methods were.

8 epochs of Motions, seed 0, by the validation list. Published code weighs KD and
z-scored KD by 9 (github.com/sunshangquan/logit-standardization-KD), DIST by 1 or 2
(its paper) and FitNets by 100 (github.com/megvii-research/mdistiller); here the default
of each head was 1. The largest of the others (27, 1000) and 3 for KD were added after
the first runs; a weight that was in use by then gives way only to one that is better by
more than 2.8 points, which is how far seeds of the student alone spread.
"""

_base_ = './_motions.py'

name = 'weights_motions'
title = 'Weights of the baselines on Motions, 8 epochs: TSM-R50 to TSM-R18'
seeds = [0]
_tried = dict(
    zscore_kd=('z-scored KD', [1, 3, 9, 27], _base_._tsm),
    kd=('KD', [1, 3, 9], _base_._tsm),
    dist=('DIST', [1, 3, 9], _base_._tsm),
    fitnets=('FitNets', [1, 10, 100, 1000], _base_._online),
)
methods = dict(
    student=_base_._student,
    **{
        f'{head}_{weight}': dict(
            run,
            config=f'mmvkd::distill/{head}_tsm_r50_to_r18.py',
            options={**run['options'], f'model.heads.{head}.loss_weight': weight},
            title=f'{title}, weight {weight}',
        )
        for head, (title, weights, run) in _tried.items()
        for weight in weights
    },
)
baselines = ['student', 'dist_1']
