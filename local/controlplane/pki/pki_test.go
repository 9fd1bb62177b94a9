package pki_test

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/local/controlplane/pki"
)

var now = time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)

func parse(t *testing.T, certPEM []byte) *x509.Certificate {
	t.Helper()
	block, rest := pem.Decode(certPEM)
	require.NotNil(t, block)
	require.Empty(t, rest)
	cert, err := x509.ParseCertificate(block.Bytes)
	require.NoError(t, err)
	return cert
}

func TestServerCertificatesHoldForTheirNamesOnly(t *testing.T) {
	ca, err := pki.NewCA(now)
	require.NoError(t, err)
	pair, err := ca.Server(now, "127.0.0.1", "localhost")
	require.NoError(t, err)
	cert := parse(t, pair.Cert)

	for name, valid := range map[string]bool{
		"127.0.0.1": true, "localhost": true, "127.0.0.2": false, "kubernetes": false,
	} {
		t.Run(name, func(t *testing.T) {
			_, err := cert.Verify(x509.VerifyOptions{DNSName: name, Roots: ca.Pool(), CurrentTime: now})

			assert.Equal(t, valid, err == nil, "%v", err)
		})
	}
}

func TestClientCertificatesNameAUserAndItsGroups(t *testing.T) {
	ca, err := pki.NewCA(now)
	require.NoError(t, err)
	pair, err := ca.Client(now, "admin", "system:masters")
	require.NoError(t, err)
	cert := parse(t, pair.Cert)

	_, err = cert.Verify(x509.VerifyOptions{
		Roots: ca.Pool(), CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	assert.NoError(t, err)
	_, err = cert.Verify(x509.VerifyOptions{
		Roots: ca.Pool(), CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	assert.Error(t, err)
	assert.Equal(t, "admin", cert.Subject.CommonName)
	assert.Equal(t, []string{"system:masters"}, cert.Subject.Organization)
}

func TestAnotherCADoesNotVouchForACertificate(t *testing.T) {
	ca, err := pki.NewCA(now)
	require.NoError(t, err)
	other, err := pki.NewCA(now)
	require.NoError(t, err)
	pair, err := ca.Server(now, "localhost")
	require.NoError(t, err)

	_, err = parse(t, pair.Cert).Verify(x509.VerifyOptions{DNSName: "localhost", Roots: other.Pool(), CurrentTime: now})

	assert.Error(t, err)
}

func TestACAIsKeptInItsFiles(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "ca.crt"), filepath.Join(dir, "ca.key")
	first, err := pki.LoadOrNewCA(certFile, keyFile, now)
	require.NoError(t, err)

	again, err := pki.LoadOrNewCA(certFile, keyFile, now)
	require.NoError(t, err)

	assert.Equal(t, first.PEM, again.PEM)
	pair, err := again.Server(now, "localhost")
	require.NoError(t, err)
	_, err = parse(t, pair.Cert).Verify(x509.VerifyOptions{DNSName: "localhost", Roots: first.Pool(), CurrentTime: now})
	assert.NoError(t, err)
	info, err := os.Stat(keyFile)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
}

func TestACAThatCannotBeReadIsNotReplaced(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "ca.crt"), filepath.Join(dir, "ca.key")
	require.NoError(t, os.WriteFile(certFile, []byte("broken"), 0o600))
	require.NoError(t, os.WriteFile(keyFile, []byte("broken"), 0o600))

	_, err := pki.LoadOrNewCA(certFile, keyFile, now)

	assert.ErrorContains(t, err, certFile)
	content, err := os.ReadFile(certFile)
	require.NoError(t, err)
	assert.Equal(t, "broken", string(content))
}
