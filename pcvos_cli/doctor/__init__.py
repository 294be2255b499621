"""The installation, examined: ``diagnosis.diagnose``."""
