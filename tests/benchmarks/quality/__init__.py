"""How good one multi-task model of ours is on real data, beside a constant and scikit-learn's models per task."""
