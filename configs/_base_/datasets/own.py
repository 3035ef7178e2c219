"""Your own videos: lists of ``file label`` lines and a class count."""

_base_ = ['./video.py', '../schedules/sgd_tsm_50e.py']

dataset = '{{$MMVKD_NAME:own}}'  # its runs are in a folder of this name
num_classes = int('{{$MMVKD_NUM_CLASSES:2}}')
train_list = '{{$MMVKD_TRAIN_LIST:data/own/train_list.txt}}'
val_list = '{{$MMVKD_VAL_LIST:data/own/val_list.txt}}'
test_list = '{{$MMVKD_TEST_LIST:none}}'  # none: the validation list
videos = '{{$MMVKD_VIDEOS:data/own/videos}}'
pretrained = True  # recognizers start from ImageNet
recipe = 'say where it is with MMVKD_TRAIN_LIST, or write it: "file label" lines'
checkpoints = dict()

# half of the clips are mirrored; where left and right are classes, say which: 0:1,4:5
swapped = '{{$MMVKD_SWAPPED:none}}'
swaps = [] if swapped == 'none' else [pair.split(':') for pair in swapped.split(',')]
named = [int(c) if c.isdigit() else num_classes for pair in swaps for c in pair]
if (
    any(len(pair) != 2 for pair in swaps)
    or any(c >= num_classes for c in named)
    or len(set(named)) < len(named)
):
    raise ValueError(
        f"MMVKD_SWAPPED='{swapped}' is not made of pairs of numbers below "
        f'{num_classes}, each at most once, as 0:1,4:5'
    )
flip_label_map = {int(a): int(b) for pair in swaps for a, b in (pair, pair[::-1])}
flip = dict(_base_.flip, flip_label_map=flip_label_map)
train_pipeline = [flip if s.type == 'Flip' else s for s in _base_.train_pipeline]
train_pipeline_3d = [flip if s.type == 'Flip' else s for s in _base_.train_pipeline_3d]

where = dict(video=videos)
train_set = dict(ann_file=train_list, data_prefix=where, pipeline=train_pipeline)
val_set = dict(ann_file=val_list, data_prefix=where)
test_set = val_set if test_list == 'none' else dict(val_set, ann_file=test_list)
train_dataloader = dict(dataset=dict(dataset=train_set, recipe=recipe))
val_dataloader = dict(dataset=val_set)
test_dataloader = dict(dataset=dict(test_set, pipeline=_base_.val_pipeline))
