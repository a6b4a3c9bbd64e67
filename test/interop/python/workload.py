"""A workload that is not ours: py-spiffe gives it its identity and its proofs. It is steered by JSON lines, as the
programs of go-spiffe/ are. The agent is the one of $SPIFFE_ENDPOINT_SOCKET.
"""

import json
import logging
import sys
import threading
import time

from spiffe import JwtSource, JwtSvid, SpiffeId, WorkloadApiClient, X509Source

# What it has to say is said by events.
logging.disable(logging.CRITICAL)

output = threading.Lock()


def send(message):
    with output:
        print(json.dumps(message), flush=True)


def tell(name, **detail):
    send({"type": "event", "name": name, "at": int(time.time() * 1000), **detail})


def serial(certificate):
    text = format(certificate.serial_number, "x")
    return text if len(text) % 2 == 0 else "0" + text


def on_x509(context):
    tell(
        "update",
        svids=[{"id": str(svid.spiffe_id), "serial": serial(svid.leaf)} for svid in context.x509_svids],
        bundles={
            bundle.trust_domain.name: len(bundle.x509_authorities) for bundle in context.x509_bundle_set.bundles
        },
    )


def described(svid):
    return {"id": str(svid.spiffe_id), "token": svid.token, "audience": sorted(svid.audience)}


def main():
    client = WorkloadApiClient()
    watch = client.stream_x509_contexts(on_x509, lambda error: tell("watch error", message=str(error)))
    x509 = X509Source(client, timeout_in_seconds=20)
    jwt = JwtSource(client, timeout_in_seconds=20)

    def tell_source():
        # What the source has is what a program would use; the watches above may be ahead of it.
        tell("source updated", serial=serial(x509.get_x509_context().default_svid.leaf))

    def tell_keys():
        tell("keys", **{bundle.trust_domain.name: sorted(bundle.jwt_authorities) for bundle in jwt.bundles})

    x509.subscribe_for_updates(tell_source)
    jwt.subscribe_for_updates(tell_keys)
    tell_keys()

    def fetch(audience, subject=None, **_):
        svid = jwt.fetch_svid(set(audience), SpiffeId(subject) if subject else None)
        return described(svid)

    def fetch_all(audience, **_):
        return [described(svid) for svid in jwt.fetch_svids(set(audience))]

    def have_validated(token, audience, **_):
        return described(client.validate_jwt_svid(token, audience[0]))

    def validate(token, audience, **_):
        named = JwtSvid.parse_insecure(token, set(audience))
        bundle = jwt.get_bundle_for_trust_domain(named.spiffe_id.trust_domain)
        return described(JwtSvid.parse_and_validate(token, bundle, set(audience)))

    tasks = {
        "fetch jwt": fetch,
        "fetch jwts": fetch_all,
        "have jwt validated": have_validated,
        "validate jwt": validate,
    }

    def perform(seq, task, input=None):
        try:
            send({"type": "answer", "seq": seq, "value": tasks[task](**(input or {}))})
        except Exception as error:
            send({"type": "answer", "seq": seq, "error": {"message": f"{type(error).__name__}: {error}"}})

    tell("ready", spiffeId=str(x509.get_x509_context().default_svid.spiffe_id))
    # Its parent closes standard input to end it.
    for line in sys.stdin:
        threading.Thread(target=perform, kwargs=json.loads(line), daemon=True).start()
    x509.close()
    jwt.close()
    watch.cancel()
    client.close()


main()
