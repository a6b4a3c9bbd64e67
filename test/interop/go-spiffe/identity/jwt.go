package main

import (
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/spiffe/go-spiffe/v2/bundle/jwtbundle"
	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
)

// mintJWT signs as SPIRE does, with go-jose, and lets go-spiffe write the bundles down.
func mintJWT(input struct {
	ID       string   `json:"id"`
	Kind     string   `json:"kind"`
	Alg      string   `json:"alg"`
	Audience []string `json:"audience"`
}) (any, error) {
	id, err := spiffeid.FromString(input.ID)
	if err != nil {
		return nil, err
	}
	key, err := newKey(input.Kind)
	if err != nil {
		return nil, err
	}
	signer, err := jose.NewSigner(
		jose.SigningKey{Algorithm: jose.SignatureAlgorithm(input.Alg), Key: jose.JSONWebKey{Key: key, KeyID: "go"}},
		new(jose.SignerOptions).WithType("JWT"),
	)
	if err != nil {
		return nil, err
	}
	token, err := jwt.Signed(signer).Claims(jwt.Claims{
		Subject:  id.String(),
		Audience: input.Audience,
		IssuedAt: jwt.NewNumericDate(time.Now()),
		Expiry:   jwt.NewNumericDate(time.Now().Add(5 * time.Minute)),
	}).Serialize()
	if err != nil {
		return nil, err
	}
	bundle := jwtbundle.New(id.TrustDomain())
	if err := bundle.AddJWTAuthority("go", key.Public()); err != nil {
		return nil, err
	}
	jwks, err := bundle.Marshal()
	if err != nil {
		return nil, err
	}
	document, err := spiffebundle.FromJWTBundle(bundle).Marshal()
	return object{"token": token, "jwtBundle": string(jwks), "bundle": string(document)}, err
}

func validateJWT(input struct {
	Token    string   `json:"token"`
	Audience []string `json:"audience"`
	// JWK Sets by the name of their trust domain.
	Bundles map[string]string `json:"bundles"`
}) (any, error) {
	bundles := jwtbundle.NewSet()
	for name, document := range input.Bundles {
		bundle, err := parseJWTBundle(name, document)
		if err != nil {
			return nil, err
		}
		bundles.Add(bundle)
	}
	svid, err := jwtsvid.ParseAndValidate(input.Token, bundles, input.Audience)
	if err != nil {
		return nil, err
	}
	return object{"id": svid.ID.String(), "audience": svid.Audience, "expiry": svid.Expiry.Unix()}, nil
}

func readJWTBundle(input struct {
	TrustDomain string `json:"trustDomain"`
	Document    string `json:"document"`
}) (any, error) {
	bundle, err := parseJWTBundle(input.TrustDomain, input.Document)
	if err != nil {
		return nil, err
	}
	return keysByID(bundle.JWTAuthorities())
}

func parseJWTBundle(name, document string) (*jwtbundle.Bundle, error) {
	trustDomain, err := spiffeid.TrustDomainFromString(name)
	if err != nil {
		return nil, err
	}
	return jwtbundle.Parse(trustDomain, []byte(document))
}
