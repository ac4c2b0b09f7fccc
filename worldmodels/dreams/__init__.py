"""The dream as an environment: M in the task's place, alone or many at once."""
