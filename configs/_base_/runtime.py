"""Settings of every run: seeded, exactly resumable, scored by its best epoch."""

default_scope = 'mmaction'
custom_imports = dict(imports=['mmvkd'], allow_failed_imports=False)
randomness = dict(seed=0)

default_hooks = dict(
    runtime_info=dict(type='RuntimeInfoHook'),
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=20, ignore_last=False),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(
        type='mmvkd.AtomicCheckpointHook',
        interval=1,
        max_keep_ckpts=1,
        save_best='auto',
    ),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    sync_buffers=dict(type='SyncBuffersHook'),
)
custom_hooks = [
    dict(type='mmvkd.SeedingHook'),
    dict(type='mmvkd.CheckpointGuardHook'),
    dict(type='mmvkd.DataCheckHook'),
    dict(type='mmvkd.DistillCheckHook'),
    dict(type='mmvkd.ExactResumeHook'),
]

env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)
log_processor = dict(
    type='LogProcessor',
    window_size=20,
    by_epoch=True,
    # also of teachers; the rest is of the last step
    mean_pattern=r'loss|time|grad_norm|_top1_acc',
)
vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(type='ActionVisualizer', vis_backends=vis_backends)
log_level = 'INFO'
load_from = None
resume = False
