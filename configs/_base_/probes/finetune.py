"""Fine-tuning: the whole backbone keeps learning."""

frozen_stages = -1
probed = ''
