"""The routes of the FHIR source."""

from service.api.bodies import UPLOAD_OVERHEAD
from service.api.parts import ApiPart
from service.sources.fhir import import_routes, patient_routes

PART = ApiPart(
    (patient_routes.router, import_routes.router),
    lambda settings: {import_routes.BULK: settings.fhir.max_file_bytes + UPLOAD_OVERHEAD},
)
