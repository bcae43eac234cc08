"""Speech emotion recognition with self-supervised audiovisual pretext tasks (Goncalves & Busso)."""
