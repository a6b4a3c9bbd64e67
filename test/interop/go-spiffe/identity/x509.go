package main

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net/url"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
)

type signer struct {
	certificate *x509.Certificate
	key         crypto.Signer
}

// mint makes a key and a certificate for it; without an issuer it signs itself.
func mint(kind string, template *x509.Certificate, issuer *signer) (*signer, error) {
	key, err := newKey(kind)
	if err != nil {
		return nil, err
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)); err != nil {
		return nil, err
	}
	template.NotBefore = time.Now().Add(-time.Minute)
	template.NotAfter = time.Now().Add(time.Hour)
	template.BasicConstraintsValid = true
	parent, parentKey := template, key
	if issuer != nil {
		parent, parentKey = issuer.certificate, issuer.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
	if err != nil {
		return nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	return &signer{certificate, key}, err
}

func authority(name string, id spiffeid.ID) *x509.Certificate {
	return &x509.Certificate{
		Subject:  pkix.Name{CommonName: name},
		URIs:     []*url.URL{id.URL()},
		IsCA:     true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
}

// mintX509 makes root, intermediate and leaf with Go's own library, and lets go-spiffe write them down.
func mintX509(input struct {
	ID   string `json:"id"`
	Kind string `json:"kind"`
}) (any, error) {
	id, err := spiffeid.FromString(input.ID)
	if err != nil {
		return nil, err
	}
	root, err := mint(input.Kind, authority("root", id.TrustDomain().ID()), nil)
	if err != nil {
		return nil, err
	}
	middle, err := mint(input.Kind, authority("signer", id.TrustDomain().ID()), root)
	if err != nil {
		return nil, err
	}
	leaf, err := mint(input.Kind, &x509.Certificate{
		URIs:        []*url.URL{id.URL()},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, middle)
	if err != nil {
		return nil, err
	}
	list, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
		Number:     big.NewInt(1),
		ThisUpdate: time.Now().Add(-time.Minute),
		NextUpdate: time.Now().Add(time.Hour),
		RevokedCertificateEntries: []x509.RevocationListEntry{
			{SerialNumber: leaf.certificate.SerialNumber, RevocationTime: time.Now(), ReasonCode: 1},
		},
	}, middle.certificate, middle.key)
	if err != nil {
		return nil, err
	}
	forms, err := inBothForms(&x509svid.SVID{
		ID:           id,
		Certificates: []*x509.Certificate{leaf.certificate, middle.certificate},
		PrivateKey:   leaf.key,
	})
	if err != nil {
		return nil, err
	}
	bundle := x509bundle.FromX509Authorities(id.TrustDomain(), []*x509.Certificate{root.certificate})
	forms["bundlePem"], err = bundle.Marshal()
	forms["bundle"] = root.certificate.Raw
	forms["crl"] = list
	return forms, err
}

// inBothForms is an SVID in both forms in which go-spiffe writes it.
func inBothForms(svid *x509svid.SVID) (object, error) {
	certificates, key, err := svid.MarshalRaw()
	if err != nil {
		return nil, err
	}
	certificatesPem, keyPem, err := svid.Marshal()
	if err != nil {
		return nil, err
	}
	return object{
		"id": svid.ID.String(), "serial": svid.Certificates[0].SerialNumber.Text(16),
		"certificates": certificates, "key": key, "certificatesPem": certificatesPem, "keyPem": keyPem,
	}, nil
}

func readX509(input struct {
	Certificates []byte `json:"certificates"`
	Key          []byte `json:"key"`
	Pem          bool   `json:"pem"`
}) (any, error) {
	parse := x509svid.ParseRaw
	if input.Pem {
		parse = x509svid.Parse
	}
	svid, err := parse(input.Certificates, input.Key)
	if err != nil {
		return nil, err
	}
	return inBothForms(svid)
}

func verifyX509(input struct {
	Chain [][]byte `json:"chain"`
	// Authorities as the Workload API sends them, by the name of their trust domain.
	Bundles map[string][]byte `json:"bundles"`
	// Milliseconds since 1970.
	Now int64 `json:"now"`
}) (any, error) {
	bundles := x509bundle.NewSet()
	for name, der := range input.Bundles {
		trustDomain, err := spiffeid.TrustDomainFromString(name)
		if err != nil {
			return nil, err
		}
		bundle, err := x509bundle.ParseRaw(trustDomain, der)
		if err != nil {
			return nil, err
		}
		bundles.Add(bundle)
	}
	id, _, err := x509svid.ParseAndVerify(input.Chain, bundles, x509svid.WithTime(time.UnixMilli(input.Now)))
	if err != nil {
		return nil, err
	}
	return id.String(), nil
}
