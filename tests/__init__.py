"""The tests. Shared fixtures are in the modules that `conftest` names."""
