"""What is no digit: letters, marks, pieces and joins of digits, made for practice."""
