"""Something-Something V1, JPEG frames, in the layout of MMAction2's own preparation."""

_base_ = ['./rawframes.py', '../schedules/sgd_tsm_50e.py']

dataset = 'sthv1'
num_classes = 174
pretrained = True  # recognizers start from ImageNet
recipe = 'prepare it with tools/data/sthv1 of MMAction2'
checkpoints = dict()

# left and right are classes: a flip swaps them
flip_label_map = {2: 4, 4: 2, 30: 41, 41: 30, 52: 66, 66: 52}
flip = dict(_base_.flip, flip_label_map=flip_label_map)
train_pipeline = [flip if s.type == 'Flip' else s for s in _base_.train_pipeline]
train_pipeline_3d = [flip if s.type == 'Flip' else s for s in _base_.train_pipeline_3d]

where = dict(img='data/sthv1/rawframes')
train_set = dict(
    ann_file='data/sthv1/sthv1_train_list_rawframes.txt',
    data_prefix=where,
    pipeline=train_pipeline,
)
val_set = dict(ann_file='data/sthv1/sthv1_val_list_rawframes.txt', data_prefix=where)
train_dataloader = dict(dataset=dict(dataset=train_set, recipe=recipe))
val_dataloader = dict(dataset=val_set)
test_dataloader = dict(dataset=val_set)
optim_wrapper = dict(optimizer=dict(weight_decay=0.0005))
