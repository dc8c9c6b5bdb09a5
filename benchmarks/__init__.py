"""Speed and accuracy of `ufm` beside what a user would use instead, in one run."""
