"""Spread a sweep over a cluster: its blocks as jobs of Slurm or Ray, watched and judged from records."""
