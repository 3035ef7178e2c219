"""The data set of every config, set by a word here or by ``MMVKD_DATA``."""

_base_ = './datasets/{{$MMVKD_DATA:motions}}.py'
