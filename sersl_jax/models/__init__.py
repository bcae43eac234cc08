"""Networks: the paper's two transformer stacks, the SER network on them, wav2vec 2.0."""
