"""What is wrong with a file: one module per thing looked at; every kind is in findings.py."""
