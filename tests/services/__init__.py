"""The servers that the tests run against, brought up without containers and stopped by process id."""
