"""Studies: methods × settings × seeds, declared in a few lines, run and reported.

``plan`` reads a declaration, ``runner`` runs it, ``report`` writes what came out.
"""
