"""Training: the loop, what it minimises, what it reads, and its checkpoints."""
