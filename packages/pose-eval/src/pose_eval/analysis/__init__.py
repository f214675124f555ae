"""What is behind a report: errors, groups, intervals, comparisons; nothing is written here."""
