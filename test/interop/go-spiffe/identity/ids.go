package main

import "github.com/spiffe/go-spiffe/v2/spiffeid"

// readIDs tells of each text what it is the ID of, or null.
func readIDs(texts [][]byte) (any, error) {
	verdicts := make([]any, len(texts))
	for i, text := range texts {
		if id, err := spiffeid.FromString(string(text)); err == nil {
			verdicts[i] = object{"text": id.String(), "trustDomain": id.TrustDomain().Name(), "path": id.Path()}
		}
	}
	return verdicts, nil
}

// readTrustDomains tells of each text which trust domain it names, or null.
func readTrustDomains(texts [][]byte) (any, error) {
	verdicts := make([]any, len(texts))
	for i, text := range texts {
		if trustDomain, err := spiffeid.TrustDomainFromString(string(text)); err == nil {
			verdicts[i] = trustDomain.Name()
		}
	}
	return verdicts, nil
}

func buildID(input struct {
	TrustDomain string   `json:"trustDomain"`
	Segments    []string `json:"segments"`
}) (any, error) {
	trustDomain, err := spiffeid.TrustDomainFromString(input.TrustDomain)
	if err != nil {
		return nil, err
	}
	id, err := spiffeid.FromSegments(trustDomain, input.Segments...)
	if err != nil {
		return nil, err
	}
	return id.String(), nil
}
