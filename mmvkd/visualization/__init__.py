"""Pictures of what a run did."""

from mmvkd.visualization.graph import Graph, draw, read_graphs

__all__ = ['Graph', 'draw', 'read_graphs']
