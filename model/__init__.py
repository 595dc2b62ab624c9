"""From a trained Q-SNN to integers: training (torch), description and golden model (NumPy)."""
