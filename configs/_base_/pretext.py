"""TSM-R50 on a pretext task, without labels or weights that were learned from them."""

_base_ = '../teachers/tsm_r50.py'

model = dict(backbone=dict(pretrained=None, pretrained2d=False))
train_dataloader = dict(dataset=dict(type='mmvkd.PretextDataset'))
val_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='mmvkd.PretextDataset',
        dataset=_base_.val_dataloader.dataset,
    )
)
test_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='mmvkd.PretextDataset',
        # of one view, as in validation
        dataset=dict(
            _base_.test_dataloader.dataset,
            pipeline=_base_.val_dataloader.dataset.pipeline,
        ),
    )
)
