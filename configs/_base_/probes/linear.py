"""The backbone stays as it is, BatchNorm statistics included; a linear layer learns."""

frozen_stages = 4
find_unused_parameters = True  # DDP is there before the backbone is frozen
