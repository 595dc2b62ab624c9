"""The time-serial schedule: streams of steps, membranes in memory, work that follows activity."""
