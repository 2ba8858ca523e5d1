"""Classical baselines: scikit-learn pipelines that are fitted to all training clips at once."""
