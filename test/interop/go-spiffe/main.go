// A workload that is not ours: it serves and calls with go-spiffe, and is steered by JSON lines as
// ../programs/workload.mjs is by messages. The first argument is whom its server admits: SPIFFE IDs with commas
// between, or "any". The agent is the one of $SPIFFE_ENDPOINT_SOCKET.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
)

type object map[string]any

type workload struct {
	client *workloadapi.Client
	source *workloadapi.X509Source
	jwt    *workloadapi.JWTSource
}

func main() {
	log.SetFlags(0)
	// Its parent closes standard input to end it; that may happen at any moment.
	lines := make(chan string)
	go func() {
		scanner := bufio.NewScanner(os.Stdin)
		scanner.Buffer(nil, 1<<20)
		for scanner.Scan() {
			lines <- scanner.Text()
		}
		os.Exit(0)
	}()

	ctx := context.Background()
	client, err := workloadapi.New(ctx)
	check(err)
	go func() { check(client.WatchX509Context(ctx, watcher{})) }()
	source, err := workloadapi.NewX509Source(ctx, workloadapi.WithClient(client))
	check(err)
	jwt, err := workloadapi.NewJWTSource(ctx, workloadapi.WithClient(client))
	check(err)
	w := &workload{client: client, source: source, jwt: jwt}
	go w.tellUpdates()
	go w.tellKeys()

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	server := &http.Server{
		Handler:   http.HandlerFunc(w.answer),
		TLSConfig: tlsconfig.MTLSServerConfig(source, source, authorizer(os.Args[1])),
		ErrorLog:  log.New(tellRejected{}, "", 0),
	}
	go func() { check(server.ServeTLS(listener, "", "")) }()
	grpcTarget, err := w.serveGrpc(authorizer(os.Args[1]))
	check(err)
	tell("ready", object{
		"spiffeId": w.id().String(), "url": "https://" + listener.Addr().String() + "/", "grpcTarget": grpcTarget,
	})

	for line := range lines {
		go w.perform(line)
	}
}

func authorizer(allowed string) tlsconfig.Authorizer {
	if allowed == "any" {
		return tlsconfig.AuthorizeAny()
	}
	var ids []spiffeid.ID
	for _, id := range strings.Split(allowed, ",") {
		ids = append(ids, spiffeid.RequireFromString(id))
	}
	return tlsconfig.AuthorizeOneOf(ids...)
}

func (w *workload) id() spiffeid.ID {
	svid, err := w.source.GetX509SVID()
	check(err)
	return svid.ID
}

// What the source has is what connections use; the watch may be ahead of it.
func (w *workload) tellUpdates() {
	for range w.source.Updated() {
		svid, err := w.source.GetX509SVID()
		check(err)
		tell("source updated", object{"serial": serial(svid.Certificates[0])})
	}
}

func (w *workload) tellKeys() {
	for range w.jwt.Updated() {
		bundle, err := w.jwt.GetJWTBundleForTrustDomain(w.id().TrustDomain())
		check(err)
		tell("jwt source updated", object{"keys": len(bundle.JWTAuthorities())})
	}
}

func (w *workload) answer(response http.ResponseWriter, request *http.Request) {
	leaf := request.TLS.PeerCertificates[0]
	caller, err := x509svid.IDFromCert(leaf)
	if err != nil {
		http.Error(response, err.Error(), http.StatusInternalServerError)
		return
	}
	body := object{"by": w.id().String(), "caller": caller.String(), "callerSerial": serial(leaf)}
	if err := json.NewEncoder(response).Encode(body); err != nil {
		log.Print(err)
	}
}

type tellRejected struct{}

func (tellRejected) Write(line []byte) (int, error) {
	tell("rejected", object{"message": strings.TrimSpace(string(line))})
	return len(line), nil
}

var output sync.Mutex

func tell(name string, detail object) {
	message := object{"type": "event", "name": name, "at": time.Now().UnixMilli()}
	for key, value := range detail {
		message[key] = value
	}
	send(message)
}

func send(message object) {
	output.Lock()
	defer output.Unlock()
	check(json.NewEncoder(os.Stdout).Encode(message))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
