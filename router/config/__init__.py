"""The configuration: routes.yaml as a document, its grammar, and one good `Config` out of both."""

from router.config.differs import Differs, differs
from router.config.files import Files
from router.config.known import Known, Rest, rest
from router.config.load import Config, load
from router.config.schema import schema

__all__ = ["Config", "Differs", "Files", "Known", "Rest", "differs", "load", "rest", "schema"]
