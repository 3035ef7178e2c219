"""The data set of every config: one word, here or in the environment."""

_base_ = './datasets/{{$MMVKD_DATA:motions}}.py'
