"""What a tool does that has no proto: asks a socket by reflection, and makes two calls with what it learned.

  python reflect.py ENDPOINT AUDIENCE
"""

import json
import sys

import grpc
from google.protobuf import descriptor_pool, json_format, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

ENDPOINT, AUDIENCE = sys.argv[1:3]

channel = grpc.insecure_channel(ENDPOINT)
database = ProtoReflectionDescriptorDatabase(channel)
services = list(database.get_services())
pool = descriptor_pool.DescriptorPool(database)
api = pool.FindServiceByName("SpiffeWorkloadAPI")
marked = (("workload.spiffe.io", "true"),)


def call(name, **fields):
    method = api.methods_by_name[name]
    request = message_factory.GetMessageClass(method.input_type)(**fields)
    stub = (channel.unary_stream if method.server_streaming else channel.unary_unary)(
        f"/{api.full_name}/{name}",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=message_factory.GetMessageClass(method.output_type).FromString,
    )
    answer = stub(request, metadata=marked, timeout=10)
    message = next(answer) if method.server_streaming else answer
    return json_format.MessageToDict(message, preserving_proto_field_name=True, descriptor_pool=pool)


token = call("FetchJWTSVID", audience=[AUDIENCE])["svids"][0]["svid"]
print(
    json.dumps(
        {
            "services": services,
            "methods": {
                service: [method.name for method in pool.FindServiceByName(service).methods] for service in services
            },
            "x509": [svid["spiffe_id"] for svid in call("FetchX509SVID")["svids"]],
            "validated": call("ValidateJWTSVID", audience=AUDIENCE, svid=token),
        }
    )
)
