package main

import (
	"crypto/x509"
	"encoding/hex"

	"github.com/spiffe/go-spiffe/v2/workloadapi"
	"google.golang.org/grpc/status"
)

// Tells every update of the Workload API, and every fault.
type watcher struct{}

func (watcher) OnX509ContextUpdate(update *workloadapi.X509Context) {
	svids := []object{}
	for _, svid := range update.SVIDs {
		svids = append(svids, object{"id": svid.ID.String(), "hint": svid.Hint, "serial": serial(svid.Certificates[0])})
	}
	bundles := object{}
	for _, bundle := range update.Bundles.Bundles() {
		bundles[bundle.TrustDomain().Name()] = len(bundle.X509Authorities())
	}
	tell("update", object{"svids": svids, "bundles": bundles})
}

func (watcher) OnX509ContextWatchError(err error) {
	tell("watch error", object{"grpcStatus": int(status.Code(err)), "message": err.Error()})
}

func serial(certificate *x509.Certificate) string {
	return hex.EncodeToString(certificate.SerialNumber.Bytes())
}
