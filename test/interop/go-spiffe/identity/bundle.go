package main

import (
	"crypto"
	"crypto/x509"
	"strconv"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

type document struct {
	TrustDomain string `json:"trustDomain"`
	Document    string `json:"document"`
}

func (d document) parse() (*spiffebundle.Bundle, error) {
	trustDomain, err := spiffeid.TrustDomainFromString(d.TrustDomain)
	if err != nil {
		return nil, err
	}
	return spiffebundle.Parse(trustDomain, []byte(d.Document))
}

// readBundle tells what go-spiffe has read of a document, and how it would write it.
func readBundle(input document) (any, error) {
	bundle, err := input.parse()
	if err != nil {
		return nil, err
	}
	jwt, err := keysByID(bundle.JWTAuthorities())
	if err != nil {
		return nil, err
	}
	x509Authorities := [][]byte{}
	for _, certificate := range bundle.X509Authorities() {
		x509Authorities = append(x509Authorities, certificate.Raw)
	}
	marshalled, err := bundle.Marshal()
	if err != nil {
		return nil, err
	}
	value := object{"x509": x509Authorities, "jwt": jwt, "document": string(marshalled)}
	if sequence, ok := bundle.SequenceNumber(); ok {
		value["sequence"] = strconv.FormatUint(sequence, 10)
	}
	if hint, ok := bundle.RefreshHint(); ok {
		value["refreshHintMs"] = hint.Milliseconds()
	}
	return value, nil
}

func writeBundle(input struct {
	TrustDomain string `json:"trustDomain"`
	// DER certificates.
	X509 [][]byte `json:"x509"`
	// Public keys by key ID, as SubjectPublicKeyInfo.
	JWT           map[string][]byte `json:"jwt"`
	Sequence      *string           `json:"sequence"`
	RefreshHintMs *int64            `json:"refreshHintMs"`
}) (any, error) {
	trustDomain, err := spiffeid.TrustDomainFromString(input.TrustDomain)
	if err != nil {
		return nil, err
	}
	bundle := spiffebundle.New(trustDomain)
	for _, der := range input.X509 {
		certificate, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		bundle.AddX509Authority(certificate)
	}
	for id, spki := range input.JWT {
		key, err := x509.ParsePKIXPublicKey(spki)
		if err != nil {
			return nil, err
		}
		if err := bundle.AddJWTAuthority(id, key); err != nil {
			return nil, err
		}
	}
	if input.Sequence != nil {
		sequence, err := strconv.ParseUint(*input.Sequence, 10, 64)
		if err != nil {
			return nil, err
		}
		bundle.SetSequenceNumber(sequence)
	}
	if input.RefreshHintMs != nil {
		bundle.SetRefreshHint(time.Duration(*input.RefreshHintMs) * time.Millisecond)
	}
	marshalled, err := bundle.Marshal()
	return string(marshalled), err
}

// compareBundles tells whether go-spiffe takes two documents for the same bundle.
func compareBundles(input struct {
	A document `json:"a"`
	B document `json:"b"`
}) (any, error) {
	a, err := input.A.parse()
	if err != nil {
		return nil, err
	}
	b, err := input.B.parse()
	if err != nil {
		return nil, err
	}
	return a.Equal(b), nil
}

func keysByID(authorities map[string]crypto.PublicKey) (map[string][]byte, error) {
	keys := map[string][]byte{}
	for id, key := range authorities {
		spki, err := x509.MarshalPKIXPublicKey(key)
		if err != nil {
			return nil, err
		}
		keys[id] = spki
	}
	return keys, nil
}
