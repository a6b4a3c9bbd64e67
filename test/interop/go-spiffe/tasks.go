package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"google.golang.org/grpc/status"
)

type input struct {
	URL       string   `json:"url"`
	Target    string   `json:"target"`
	Authorize string   `json:"authorize"`
	Audience  []string `json:"audience"`
	Subject   string   `json:"subject"`
	Token     string   `json:"token"`
}

func (w *workload) perform(line string) {
	var request struct {
		Seq   int    `json:"seq"`
		Task  string `json:"task"`
		Input input  `json:"input"`
	}
	check(json.Unmarshal([]byte(line), &request))
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	value, err := w.task(ctx, request.Task, request.Input)
	answer := object{"type": "answer", "seq": request.Seq}
	if err != nil {
		answer["error"] = object{"message": err.Error(), "grpcStatus": int(status.Code(err))}
	} else {
		answer["value"] = value
	}
	send(answer)
}

func (w *workload) task(ctx context.Context, name string, in input) (any, error) {
	switch name {
	case "call":
		return w.call(ctx, in)
	case "call grpc":
		return w.callGrpc(ctx, in)
	case "fetch jwt":
		params := jwtsvid.Params{Audience: in.Audience[0], ExtraAudiences: in.Audience[1:]}
		if in.Subject != "" {
			params.Subject = spiffeid.RequireFromString(in.Subject)
		}
		return described(w.client.FetchJWTSVID(ctx, params))
	case "have jwt validated":
		return described(w.client.ValidateJWTSVID(ctx, in.Token, in.Audience[0]))
	case "validate jwt":
		return described(jwtsvid.ParseAndValidate(in.Token, w.jwt, in.Audience))
	}
	return nil, errors.New("no such task: " + name)
}

func (w *workload) call(ctx context.Context, in input) (any, error) {
	transport := &http.Transport{
		TLSClientConfig:   tlsconfig.MTLSClientConfig(w.source, w.source, authorizer(in.Authorize)),
		DisableKeepAlives: true,
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, in.URL, nil)
	if err != nil {
		return nil, err
	}
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	var body any
	if err := json.NewDecoder(response.Body).Decode(&body); err != nil {
		return nil, err
	}
	return object{"status": response.StatusCode, "body": body, "serial": serial(response.TLS.PeerCertificates[0])}, nil
}

func described(svid *jwtsvid.SVID, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	return object{
		"id": svid.ID.String(), "token": svid.Marshal(), "audience": svid.Audience, "hint": svid.Hint, "claims": svid.Claims,
	}, nil
}
