"""The data set of every config, set by a word here or by ``MMVKD_DATA``."""

_base_ = './datasets/{{$MMVKD_DATA:motions}}.py'

# what MMAction2's inference_recognizer reads
test_pipeline = _base_.test_dataloader.dataset.pipeline
