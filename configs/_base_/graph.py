"""Both graphs of teachers: of their logits, and of pairs of their representations."""

logits_graph = dict(type='mmvkd.LogitsGraphHead', edges='confidence', loss_weight=0.1)
representation_graph = dict(
    type='mmvkd.RepresentationGraphHead', tap='backbone.layer4', loss_weight=10.0
)
picture = dict(type='mmvkd.GraphPictureHook')
