"""Linear probe: one layer learns; the backbone and its BatchNorm are frozen."""

frozen_stages = 4
probed = '/linear'  # below the folder of the data set
find_unused_parameters = True  # DDP is there before the backbone is frozen
