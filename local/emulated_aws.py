"""Moto as a web application for the newest AWS SDKs. Needs the virtualenv.

Moto understands CloudWatch's calls in JSON and in the old query form. AWS' newest SDK for Go, and with it the
official AWS plugin, sends them as Smithy RPC v2 CBOR
(https://smithy.io/2.0/additional-specs/protocols/smithy-rpc-v2.html). Here such a call is passed to moto in
JSON, and the answer comes back in CBOR. Instances also start from a template's later versions.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import cbor2
from botocore.loaders import Loader
from botocore.model import ListShape, MapShape, ServiceModel, StructureShape
from moto.ec2.models.launch_templates import LaunchTemplate, LaunchTemplateVersion
from moto.ec2.utils import parse_user_data
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import BaseWSGIServer, make_server
from werkzeug.test import run_wsgi_app
from werkzeug.wrappers import Request, Response

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PROTOCOL = "rpc-v2-cbor"


class CborToJson:
    """Wraps a WSGI application that only knows JSON."""

    def __init__(self, inner: WSGIApplication) -> None:
        self._inner = inner
        self._model = ServiceModel(Loader().load_service_model("cloudwatch", "service-2"))

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ.get("HTTP_SMITHY_PROTOCOL") != PROTOCOL:
            return self._inner(environ, start_response)
        return self._answer(Request(environ))(environ, start_response)

    def _answer(self, request: Request) -> Response:
        # `/service/GraniteServiceVersion20100801/operation/DescribeAlarms`
        _, _, target, _, operation = request.path.split("/")
        asked = cbor2.loads(request.get_data()) if request.content_length else {}
        body = json.dumps(asked, default=_epoch).encode()
        environ = request.environ | {
            "PATH_INFO": "/",
            "CONTENT_TYPE": "application/x-amz-json-1.0",
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_X_AMZ_TARGET": f"{target}.{operation}",
            "wsgi.input": io.BytesIO(body),
        }
        chunks, status, _ = run_wsgi_app(self._inner, environ, buffered=True)
        found = json.loads(b"".join(chunks) or b"{}")
        if status.startswith("200"):
            found = _typed(found, self._model.operation_model(operation).output_shape)
        answer = cbor2.dumps(found, datetime_as_timestamp=True)
        return Response(answer, status, {"smithy-protocol": PROTOCOL}, content_type="application/cbor")


def _epoch(value: Any) -> float:
    """A time for JSON, which has no type for it."""
    assert isinstance(value, datetime)
    return value.timestamp()


def _typed(value: Any, shape: Any) -> Any:
    """A value from JSON with CBOR's types: times, and numbers with a fraction.

    `shape` is botocore's description of the value, None if it has none.
    """
    if value is None or shape is None:
        return value
    if isinstance(shape, StructureShape):
        members: Any = shape.members
        return {key: _typed(one, members.get(key)) for key, one in value.items() if one is not None}
    if isinstance(shape, ListShape):
        return [_typed(one, shape.member) for one in value]
    if isinstance(shape, MapShape):
        return {key: _typed(one, shape.value) for key, one in value.items()}
    if shape.type_name == "timestamp":
        return datetime.fromtimestamp(value, UTC)
    return float(value) if shape.type_name in ("double", "float") else value


def _new_version(self: LaunchTemplate, data: dict[str, Any], description: str) -> LaunchTemplateVersion:
    """Moto parses only the first version's user data of a launch template, so it can't launch later ones."""
    user_data = data.get("UserData")
    parsed = parse_user_data(user_data) if isinstance(user_data, str | bytes) else user_data
    version = LaunchTemplateVersion(self, len(self.versions) + 1, {**data, "UserData": parsed}, description)
    self.versions.append(version)
    return version


def made_server(host: str, port: int) -> BaseWSGIServer:
    """The emulator, bound to the address and not serving yet; port 0 takes a free port."""
    LaunchTemplate.create_version = _new_version
    application = CborToJson(DomainDispatcherApplication(create_backend_app))
    return make_server(host, port, application, threaded=True, request_handler=MotoRequestHandler)


if __name__ == "__main__":
    made_server(sys.argv[1], int(sys.argv[2])).serve_forever()
