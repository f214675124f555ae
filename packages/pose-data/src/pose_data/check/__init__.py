"""What is wrong with a dataset: one module per kind of file; all kinds of findings: findings.py."""
