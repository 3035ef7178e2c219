"""All methods on skyline, by kind of target: there are few flights to learn from."""

_base_ = './skyline_main.py'

name = 'skyline_kind'
title = 'All methods on skyline, kind: TSM-R50 to TSM-R18'
environment = dict(MMVKD_SKYLINE_LABELS='kind')
labels = dict(_delete_=True, all=dict(labeled=1, epochs=15, finetuned=8, interval=1))
classes = ['airplane', 'bird', 'drone', 'helicopter']
reversals = []
