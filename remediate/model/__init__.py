"""The words of this project, as frozen values. No input, no output, no clock."""
