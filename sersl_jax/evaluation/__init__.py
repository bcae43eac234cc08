"""What a number means: protocols, labels, tests, tables and reports. Nothing here imports JAX."""
