"""The data: databases of typed values, and the structures that Python does not have. It knows no command."""
