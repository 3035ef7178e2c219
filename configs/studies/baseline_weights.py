"""Baselines with the weights of published code, in the setting of few_labels_motions.

Beside the cross-entropy, the authors of z-scored KD give their term a weight of 9
(github.com/sunshangquan/logit-standardization-KD); here each head has 1 by default.
"""

_base_ = './few_labels_motions.py'

name = 'baseline_weights'
title = 'Weights of baselines, a tenth of the labels of Motions: TSM-R50 to TSM-R18'
methods = {
    '_delete_': True,
    **{
        f'{head}_{weight}': dict(
            _base_.methods[head],
            options={**_base_._weak, f'model.heads.{head}.loss_weight': weight},
            title=f'{title}, weight {weight}',
        )
        for weight in (9, 1)
        for head, title in (('zscore_kd', 'z-scored KD'), ('kd', 'KD'))
    },
    'student': _base_.methods['student'],
}
baselines = ['student', 'zscore_kd_1', 'kd_1']
