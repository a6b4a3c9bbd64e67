"""An agent made of grpcio, from this project's protos, for tests of its client.

  python icp_agent.py DIALECT SOCKET GENERATED

DIALECT is icp or spiffe, SOCKET the path to listen on, GENERATED the directory with the modules that protoc made of the
protos. It takes one JSON object a line on its input and answers with one line. In the ICP dialect it has the status
codes of that agent, and its defects: they come from the same causes.
"""

import asyncio
import base64
import json
import sys

import grpc
import grpc.aio

DIALECT, SOCKET, GENERATED = sys.argv[1:4]
sys.path.insert(0, GENERATED)

if DIALECT == "icp":
    import icp_workload_pb2 as messages
    import icp_workload_pb2_grpc as services
else:
    import workload_pb2 as messages
    import workload_pb2_grpc as services


def raw(text):
    return base64.b64decode(text)


class Agent(services.SpiffeWorkloadAPIServicer):
    def __init__(self):
        self.calls = []
        self.streams = set()
        self.reset()

    def reset(self):
        self.x509 = None
        # Bundles and tokens are answered out of what FetchX509SVID left in the cache.
        self.attested = False
        self.bundles = {}
        self.jwt = None
        self.jwt_bundles = None
        self.tokens = {}
        self.upstream = True

    async def note(self, method, request, context):
        metadata = {}
        for key, value in context.invocation_metadata():
            metadata.setdefault(key, []).append(value)
        seen = {"method": method, "metadata": metadata}
        if method == "ValidateJWTSVID":
            seen["request"] = {"svid": request.svid, "audience": request.audience}
        if method == "FetchJWTSVID":
            seen["request"] = {"spiffe_id": request.spiffe_id, "audience": list(request.audience)}
        self.calls.append(seen)
        # The standard has an agent refuse whoever does not say that it means this API; the ICP agent never asks.
        if DIALECT == "spiffe" and metadata.get("workload.spiffe.io") != ["true"]:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "security header missing from request")

    async def FetchX509SVID(self, request, context):
        await self.note("FetchX509SVID", request, context)
        if not self.x509:
            # The one answer for every cause: no entry, no selectors, an outage behind the agent.
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, "Workload attestation failed")
        self.attested = True
        queue = asyncio.Queue()
        self.streams.add(queue)
        try:
            # Whatever is held is sent, without a look at its expiry.
            message = self.x509
            while message is not None:
                yield message
                message = await queue.get()
        finally:
            self.streams.discard(queue)

    async def FetchX509Bundles(self, request, context):
        await self.note("FetchX509Bundles", request, context)
        if not self.attested:
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, "Workload not attested")
        yield messages.X509BundlesResponse(bundles=self.bundles)
        await asyncio.Event().wait()

    async def FetchJWTSVID(self, request, context):
        await self.note("FetchJWTSVID", request, context)
        if not self.attested:
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, "Workload not attested")
        if not self.jwt:
            await context.abort(grpc.StatusCode.INTERNAL, "Failed to issue JWT-SVID")
        return messages.JWTSVIDResponse(svids=[messages.JWTSVID(**self.jwt)])

    async def FetchJWTBundles(self, request, context):
        await self.note("FetchJWTBundles", request, context)
        if self.jwt_bundles is None:
            await context.abort(grpc.StatusCode.INTERNAL, "Failed to fetch JWT bundle")
        yield messages.JWTBundlesResponse(bundles=self.jwt_bundles)
        await asyncio.Event().wait()

    async def ValidateJWTSVID(self, request, context):
        await self.note("ValidateJWTSVID", request, context)
        if not self.upstream:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "JWT validation failed")
        known = self.tokens.get(request.svid)
        if known is None:
            # What the server found invalid comes back as an answer like any other.
            return messages.ValidateJWTSVIDResponse()
        if request.audience not in known["audience"]:
            return messages.ValidateJWTSVIDResponse(spiffe_id=known["spiffe_id"])
        # Claims that are no text do not fit the map: this raises, and grpcio answers UNKNOWN.
        return messages.ValidateJWTSVIDResponse(spiffe_id=known["spiffe_id"], claims=known["claims"])

    def obey(self, order):
        do = order["do"]
        if do == "reset":
            self.reset()
            self.calls.clear()
            self.end()
        elif do == "hold":
            # Held for new streams; those that are open see it only when it is pushed.
            self.x509 = messages.X509SVIDResponse(
                svids=[
                    messages.X509SVID(
                        spiffe_id=svid["spiffe_id"],
                        x509_svid=raw(svid["chain"]),
                        x509_svid_key=raw(svid["key"]),
                        bundle=raw(svid["bundle"]),
                    )
                    for svid in order["svids"]
                ],
                federated_bundles={key: raw(value) for key, value in order["federated"].items()},
            )
        elif do == "push":
            for queue in self.streams:
                queue.put_nowait(self.x509)
        elif do == "end":
            self.end()
        elif do == "forget":
            self.x509 = None
        elif do == "bundles":
            self.bundles = {key: raw(value) for key, value in order["bundles"].items()}
        elif do == "jwt":
            self.jwt = order["svid"]
        elif do == "jwt-bundles":
            self.jwt_bundles = {key: value.encode() for key, value in order["bundles"].items()}
        elif do == "token":
            self.tokens[order["token"]] = order["known"]
        elif do == "lose-upstream":
            self.upstream = False
        elif do == "state":
            return {"calls": self.calls, "streams": len(self.streams)}
        else:
            raise ValueError(f"no such order: {do}")
        return {}

    def end(self):
        for queue in self.streams:
            queue.put_nowait(None)


async def main():
    agent = Agent()
    server = grpc.aio.server()
    services.add_SpiffeWorkloadAPIServicer_to_server(agent, server)
    address = SOCKET if SOCKET.startswith("127.0.0.1:") else f"unix:{SOCKET}"
    port = server.add_insecure_port(address)
    await server.start()
    say = lambda answer: print(json.dumps(answer), flush=True)
    say({"port": port, "grpcio": grpc.__version__})
    reader = asyncio.StreamReader(limit=1 << 24)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        say(agent.obey(json.loads(line)))
    await server.stop(0)


asyncio.run(main())
